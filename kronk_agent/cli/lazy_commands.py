"""A command group that imports a command only when it is the one that runs."""

from __future__ import annotations

import importlib

import click


class LazyCommand(click.Command):
    """Stands for a command that is not imported yet: its name, its short help, where it is."""

    def __init__(self, name: str, target: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._target = target

    def load(self) -> click.Command:
        """Import ``module:attribute``."""
        module, _, attribute = self._target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), self._target
        return command


class LazyGroup(click.Group):
    """Help and completion see the stand-ins; only running a command loads it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest
