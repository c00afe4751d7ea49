"""Reading, explaining and editing YAML, with the origin of each value."""
