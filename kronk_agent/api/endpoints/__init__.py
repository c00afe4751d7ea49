"""Endpoints that need no agent: embeddings, tokens, models, health and the reference."""
