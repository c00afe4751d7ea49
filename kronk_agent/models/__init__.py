"""Where models are on this machine."""
