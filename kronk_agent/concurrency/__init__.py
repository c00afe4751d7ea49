"""Additions to anyio: task groups, signals between tasks, and threads that open and close things."""
