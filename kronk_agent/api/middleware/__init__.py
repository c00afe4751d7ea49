"""ASGI middleware: Host and Origin checks, authentication, limits and metrics."""
