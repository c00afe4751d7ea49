"""Notations of tool calls: JSON, tags, Python."""
