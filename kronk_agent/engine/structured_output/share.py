"""Whose share of the compiler a grammar takes."""

from __future__ import annotations

from contextvars import ContextVar

COMPILING_FOR: ContextVar[str] = ContextVar("compiling_for", default="")
"""Whoever a grammar is compiled for, such as an API key. Each has one process compile at a time."""
