"""Additions to anyio: task groups, signals between tasks, blocking open and close in threads."""
