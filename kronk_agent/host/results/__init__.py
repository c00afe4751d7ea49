"""What servers answer, made valid where it is nearly so, and turned into our own types."""
