"""``kronk-agent keys``: the API keys that `kronk-agent serve` accepts."""

from __future__ import annotations

import time

import click

from kronk_agent.cli.options import global_options


@click.group()
def keys() -> None:
    """Manage API keys for `kronk-agent serve`."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["generate", "embed", "agents", "admin"]),
    help="Permitted use; repeatable. Default: all except admin.",
)
@click.option(
    "--rate", type=click.IntRange(min=1), metavar="N", help="Maximum requests per minute."
)
@click.option(
    "--concurrent",
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum concurrent requests.",
)
@global_options
def create(name: str, scopes: tuple[str, ...], rate: int | None, concurrent: int | None) -> None:
    """Create an API key called NAME and print it. It is not stored and cannot be shown again."""
    from kronk_agent.api.middleware.api_keys import (  # heavy: the HTTP API
        DEFAULT_SCOPES,
        SCOPES,
        KeyFile,
        Scope,
    )

    chosen: tuple[Scope, ...] = tuple(scope for scope in SCOPES if scope in scopes)
    token = KeyFile().create(
        name, scopes=chosen or DEFAULT_SCOPES, requests_per_minute=rate, max_concurrent=concurrent
    )
    click.echo(token)


@keys.command("list")
@global_options
def list_keys() -> None:
    """List the keys: first characters, creation date, scopes and limits."""
    from kronk_agent.api.middleware.api_keys import KeyFile  # heavy: the HTTP API

    for key in KeyFile().all():
        limits = [
            f"{key.requests_per_minute} requests/minute" if key.requests_per_minute else "",
            f"{key.max_concurrent} concurrent" if key.max_concurrent else "",
        ]
        since = time.strftime("%Y-%m-%d", time.localtime(key.created))
        permissions = ", ".join([*key.scopes, *filter(None, limits)])
        click.echo(f"{key.name}  {key.start}…  {since}  {permissions}")


@keys.command("revoke")
@click.argument("name")
@global_options
def revoke(name: str) -> None:
    """Revoke the key called NAME, effective at once in running servers."""
    from kronk_agent.api.middleware.api_keys import KeyFile  # heavy: the HTTP API

    KeyFile().revoke(name)
