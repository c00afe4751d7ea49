"""The sections of the YAML file, as pydantic models."""
