"""The command line: the only place that prints. Every module here is imported on use."""


def main() -> None:
    """The console script ``kronk-agent``."""
    from kronk_agent.cli.app import app
    from kronk_agent.cli.exit import leave

    try:
        app()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
