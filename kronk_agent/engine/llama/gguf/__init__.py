"""Checks of GGUF files before llama.cpp loads them: header, and a trial load in a child."""
