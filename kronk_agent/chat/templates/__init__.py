"""Chat templates: rendering, and the message format each one expects."""
