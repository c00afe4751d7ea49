"""Grammars of turns, written in llguidance's Lark."""
