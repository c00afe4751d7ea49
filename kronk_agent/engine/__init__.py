"""The inference engine: one model, token ids in and out, many sequences in one batch.

The only package that imports ``llama_cpp`` and ``llguidance``. It knows nothing of chat.
"""
