"""What the protocols share: base classes of their schemas, sampling, logprobs and media."""
