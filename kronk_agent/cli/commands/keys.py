"""``kronk-agent keys``: the API keys that `kronk-agent serve` lets in."""

from __future__ import annotations

import time

import click

from kronk_agent.cli.options import global_options


@click.group()
def keys() -> None:
    """API keys for `kronk-agent serve`."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["generate", "embed", "agents", "admin"]),
    help="What it is for; may be given several times. All but admin by default.",
)
@click.option(
    "--rate", type=click.IntRange(min=1), metavar="N", help="Requests in a minute at most."
)
@click.option(
    "--concurrent",
    type=click.IntRange(min=1),
    metavar="N",
    help="Requests under way at the same time at most.",
)
@global_options
def create(name: str, scopes: tuple[str, ...], rate: int | None, concurrent: int | None) -> None:
    """Create a key called NAME and print it. It is not kept and cannot be shown again."""
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
    """List the keys: how each begins, what it is for, since when."""
    from kronk_agent.api.middleware.api_keys import KeyFile  # heavy: the HTTP API

    for key in KeyFile().all():
        limits = [
            f"{key.requests_per_minute} requests a minute" if key.requests_per_minute else "",
            f"{key.max_concurrent} at a time" if key.max_concurrent else "",
        ]
        since = time.strftime("%Y-%m-%d", time.localtime(key.created))
        what = ", ".join([*key.scopes, *filter(None, limits)])
        click.echo(f"{key.name}  {key.start}…  {since}  {what}")


@keys.command("revoke")
@click.argument("name")
@global_options
def revoke(name: str) -> None:
    """Let the key called NAME in no more; running servers know at once."""
    from kronk_agent.api.middleware.api_keys import KeyFile  # heavy: the HTTP API

    KeyFile().revoke(name)
