"""JSON Schemas: normalizing foreign ones, validating values, and showing schemas to models."""
