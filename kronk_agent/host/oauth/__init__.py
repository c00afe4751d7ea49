"""Signing in to remote servers with OAuth, and keeping the tokens."""
