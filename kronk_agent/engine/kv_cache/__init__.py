"""The KV cache: which sequences hold which prefixes, and states saved in memory and in files."""
