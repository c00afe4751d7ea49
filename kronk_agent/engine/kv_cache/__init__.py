"""The KV cache: prefix reuse between sequences, and states saved in host memory and in files."""
