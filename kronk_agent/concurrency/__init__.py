"""Additions to anyio: task groups, signals between tasks, threads that open and close things."""
