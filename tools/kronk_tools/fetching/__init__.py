"""Fetching pages over HTTP: address checks, limits and robots.txt."""
