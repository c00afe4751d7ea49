"""Reading, explaining and editing YAML; every value knows where it was set."""
