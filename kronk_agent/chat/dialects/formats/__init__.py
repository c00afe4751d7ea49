"""Call formats: JSON, tags, Python."""
