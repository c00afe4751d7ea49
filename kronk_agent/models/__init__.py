"""Finding model files on this machine."""
