"""Dialects: how model families write thinking and tool calls."""

from __future__ import annotations

from kronk_agent.chat.dialects.dialect import Dialect, DialectTurn, TurnParserProtocol
from kronk_agent.chat.dialects.families.family import GENERIC
from kronk_agent.chat.dialects.families.hermes import HERMES
from kronk_agent.chat.dialects.grammar.turn_grammar import TurnGrammar
from kronk_agent.chat.dialects.registry import dialect_for

__all__ = [
    "GENERIC",
    "HERMES",
    "Dialect",
    "DialectTurn",
    "TurnGrammar",
    "TurnParserProtocol",
    "dialect_for",
]
