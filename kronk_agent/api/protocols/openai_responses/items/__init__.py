"""The items of a response: read, converted to messages, stored and listed."""
