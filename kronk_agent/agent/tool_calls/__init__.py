"""Executing the tool calls of a turn: order, execution, repetition and size of results."""
