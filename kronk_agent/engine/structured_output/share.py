"""Caller on whose behalf a grammar is compiled, for limits per caller."""

from __future__ import annotations

from contextvars import ContextVar

COMPILING_FOR: ContextVar[str] = ContextVar("compiling_for", default="")
"""Caller that grammars are compiled for, such as an API key id. Each may have one process compile
at a time."""
