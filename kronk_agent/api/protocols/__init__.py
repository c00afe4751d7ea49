"""The wire protocols, a package each."""
