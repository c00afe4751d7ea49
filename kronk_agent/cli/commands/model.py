"""``kronk-agent model``: the properties of a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial

import click

from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config
from kronk_agent.runtime import Runtime


@click.group()
def model() -> None:
    """Inspect a model."""


@model.command("show")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@global_options
@click.pass_obj
def show(options: GlobalOptions, name: str | None, as_json: bool) -> None:
    """Show what the model NAME supports (default: the configured model).

    NAME is a GGUF file, or a name from models: in the configuration. Chat features are derived from
    the model's chat template.
    """
    config = load_config(options.config)
    if name is not None:
        config = config.model_copy(update={"model": name})
    run(partial(_show, config, as_json))


async def _show(config: Config, as_json: bool, _: Interrupts) -> int:
    async with Runtime.open(config.model_copy(update={"mcp_servers": {}, "tools": ()})) as runtime:
        description = await runtime.describe_model()
    values = {**asdict(description), "capabilities": sorted(description.capabilities)}
    for name in ("metadata", "template_source", "num_parameters", "quantization"):
        del values[name]
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return 0
    template = values.pop("template") or {}
    values["chat_template"] = values["chat_template"] or "the model's own"
    values["capabilities"] = ", ".join(values["capabilities"])
    for name in ("generation_bytes", "embedding_bytes"):
        values[name.replace("bytes", "memory")] = f"{values.pop(name) / 2**20:,.0f} MiB"
    for key, value in {**values, **template}.items():
        shown = ("yes" if value else "no") if isinstance(value, bool) else value
        click.echo(f"{key.replace('_', ' '):<22}{shown}")
    return 0
