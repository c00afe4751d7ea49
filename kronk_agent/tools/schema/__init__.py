"""JSON Schemas: reading those of other people, checking values, and showing them to models."""
