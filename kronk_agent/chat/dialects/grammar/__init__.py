"""Grammars of turns, in llguidance's Lark dialect."""
