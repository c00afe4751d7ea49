"""The terminal: prompts, rendering, forms and the chat REPL."""
