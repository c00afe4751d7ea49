"""How families of models write tool calls and thinking."""

from __future__ import annotations

from kronk_agent.chat.dialects.dialect import Dialect, Parser, Turn
from kronk_agent.chat.dialects.table import GENERIC, HERMES, dialect_for
from kronk_agent.chat.dialects.turn_grammar import Grammar

__all__ = ["GENERIC", "HERMES", "Dialect", "Grammar", "Parser", "Turn", "dialect_for"]
