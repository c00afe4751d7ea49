"""The command line, the only package that prints. Its modules are imported on first use."""


def main() -> None:
    """Entry point of the console script ``kronk-agent``."""
    from kronk_agent.cli.app import app
    from kronk_agent.cli.exit import leave

    try:
        app()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
