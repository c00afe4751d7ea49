"""Choosing tokens: samplers, logprobs, stop sequences and drafts."""
