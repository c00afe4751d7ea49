"""Parsing a turn as it streams: thinking, text and tool calls."""
