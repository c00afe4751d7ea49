"""GGUF files before llama.cpp sees them: their headers checked, and the load tried in a child."""
