"""A command group that imports a subcommand only when it is invoked."""

from __future__ import annotations

import importlib

import click


class LazyCommand(click.Command):
    """Placeholder for a command that has not been imported: its name, short help and target."""

    def __init__(self, name: str, target: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._target = target

    def load(self) -> click.Command:
        """Import and return the command at ``module:attribute``."""
        module, _, attribute = self._target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), self._target
        return command


class LazyGroup(click.Group):
    """Group whose help and completion use the placeholders; only invoking a command imports it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the command name, importing the command if it is a placeholder."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest
