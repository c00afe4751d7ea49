"""Incremental parsers of turns."""
