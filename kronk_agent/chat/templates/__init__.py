"""Chat templates: rendering them, and finding out what messages they take."""
