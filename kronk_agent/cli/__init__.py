"""The command line: the only place that prints. Every module here is imported on use."""


def main() -> None:
    """The console script ``kronk-agent``."""
    from kronk_agent.cli.app import app

    app()
