"""The engine: one model, token ids in, token ids out, many sequences in one batch.

The only room that imports ``llama_cpp`` and ``llguidance``. It knows nothing of chat.
"""
