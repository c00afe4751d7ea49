"""Carrying out the tool calls of a turn: order, execution, repeats and the size of results."""
