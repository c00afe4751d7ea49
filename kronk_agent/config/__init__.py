"""The YAML configuration: its schema (``schema``) and how it is loaded (``loading``)."""
