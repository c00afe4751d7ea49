"""Shared parts of the protocols: base classes of schemas, sampling, logprobs and media."""
