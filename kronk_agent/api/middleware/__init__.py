"""What every request passes: Host and Origin checks, authentication, limits and metrics."""
