"""``kronk-agent chat``: one answer, or a conversation in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from kronk_agent.agent import Agent, Approve
from kronk_agent.cli.interactive.conversation import Conversation
from kronk_agent.cli.interactive.project import with_project_servers
from kronk_agent.cli.interactive.rendering import JsonRenderer, TextRenderer
from kronk_agent.cli.interactive.servers import FailureNews, wait_for_required, wait_until_settled
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config
from kronk_agent.messages import RunFinished
from kronk_agent.runtime import Runtime
from kronk_agent.runtime.agents import agent_config, agent_options

if TYPE_CHECKING:
    from kronk_agent.cli.interactive.user import TerminalUser

_STARTER = (
    ", the starter model: it only shows that all works. --model PATH.gguf, or model: in the "
    'configuration, takes a better one (README, "Choosing a model")'
)
_CONFIG_KEYS = {
    "model": "model",
    "tool_choice": "agent.tool_choice",
    "parallel_tool_calls": "agent.parallel_tool_calls",
    "max_steps": "agent.max_steps",
    "max_tokens": "agent.max_tokens",
    "temperature": "sampling.temperature",
    "seed": "sampling.seed",
}
"""Which key of the configuration a flag overrides."""


@click.command()
@click.option("-p", "--prompt", metavar="TEXT", help="Answer this and end.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@click.option("--no-tools", is_flag=True, help="Use no tools and start no MCP servers.")
@click.option(
    "--wait-for-tools",
    is_flag=True,
    help="Wait for all MCP servers; without it, a slow one's tools come when they come.",
)
@click.option("--agent", metavar="NAME", help="An agent from agents:, in place of agent:.")
@click.option("--model", metavar="PATH_OR_NAME", help="A GGUF file, or a name from models:.")
@click.option(
    "--tool-choice",
    metavar="auto|none|required|TOOL",
    help="Whether the first step may, must not or must call a tool, or which one it calls.",
)
@click.option(
    "--parallel-tool-calls/--no-parallel-tool-calls",
    default=None,
    help="Whether one step may call several tools.",
)
@click.option("--max-steps", type=int, metavar="N", help="Steps of a run; it answers in the last.")
@click.option("--max-tokens", type=int, metavar="N", help="Tokens of a step at most.")
@click.option("--temperature", type=float, metavar="T", help="0 takes the likeliest every time.")
@click.option("--seed", type=int, metavar="N", help="The same seed gives the same answer.")
@global_options
@click.pass_obj
def chat(
    options: GlobalOptions,
    /,
    prompt: str | None,
    as_json: bool,
    no_tools: bool,
    wait_for_tools: bool,
    agent: str | None,
    **flags: str | float | None,
) -> None:
    """Talk to the model; it may use the tools.

    In a terminal this is a conversation. With -p, or with text piped in, it is one answer; with
    both, the piped text follows the prompt. The answer goes to stdout, everything else to stderr.
    """
    question = read_question(prompt)
    given = {_CONFIG_KEYS[name]: value for name, value in flags.items() if value is not None}
    config = _with_flags(options, agent, given)
    config = without_tools(config) if no_tools else with_project_servers(config)
    # Whoever wants a call wants the tools to be there.
    choice = agent_options(config, config.agents.get(agent or "")).tool_choice
    wait_for_tools = wait_for_tools or choice.mode in ("required", "named")
    chosen = Chosen(agent, model_is_given="model" in given)
    run(partial(_chat, config, chosen, question, as_json, wait_for_tools))


def without_tools(config: Config) -> Config:
    """The configuration with no tools, for any of its agents."""
    agents = {name: own.model_copy(update={"tools": None}) for name, own in config.agents.items()}
    return config.model_copy(update={"tools": (), "mcp_servers": {}, "agents": agents})


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whom the person talks to."""

    agent: str | None = None
    """A name from agents; None is the one under agent."""
    model_is_given: bool = False
    """Is the default model meant, whatever the agent's own is?"""


def _with_flags(
    options: GlobalOptions, agent: str | None, given: Mapping[str, str | float]
) -> Config:
    """The configuration, where flags win over what it says of the agent that is meant."""
    if agent is None:
        return load_config(options.config, overrides=given)
    agent_config(load_config(options.config), agent)  # flags would make one that is not there
    of_agent = {"agent": f"agents.{agent}", "sampling": f"agents.{agent}.sampling"}
    overrides: dict[str, object] = {}
    for key, value in given.items():
        section, _, rest = key.partition(".")
        overrides[f"{of_agent[section]}.{rest}" if rest else key] = value
    return load_config(options.config, overrides=overrides)


def read_question(prompt: str | None) -> str | None:
    """What is asked, by -p and through a pipe; None when a person is there to type."""
    is_person = sys.stdin is not None and sys.stdin.isatty()
    piped = ""
    if sys.stdin is not None and not is_person:
        piped = sys.stdin.buffer.read().decode(errors="replace")
    parts = [part for part in (prompt, piped) if part and part.strip()]
    if parts:
        return "\n\n".join(parts)
    if is_person and prompt is None:
        return None
    raise click.UsageError("there is nothing to answer: give -p a text, or pipe one in")


async def _chat(
    config: Config,
    chosen: Chosen,
    question: str | None,
    as_json: bool,
    wait_for_tools: bool,
    interrupts: Interrupts,
) -> int:
    terminal = Terminal()
    person = _person_at(terminal)
    async with Runtime.open(config, person=person) as runtime:
        return await converse(
            runtime,
            interrupts,
            terminal,
            chosen=chosen,
            question=question,
            as_json=as_json,
            wait_for_tools=wait_for_tools,
            approve=person.approve if person else None,
        )


def _person_at(terminal: Terminal) -> TerminalUser | None:
    """Whoever sits there; None where the input or the screen is not a terminal."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    from kronk_agent.cli.interactive.user import TerminalUser  # heavy: prompt_toolkit

    return TerminalUser(terminal)


async def converse(
    runtime: Runtime,
    interrupts: Interrupts,
    terminal: Terminal,
    *,
    question: str | None,
    as_json: bool,
    chosen: Chosen = Chosen(),
    wait_for_tools: bool = False,
    approve: Approve | None = None,
) -> int:
    """Answer the question, or with none talk to the person; returns the exit code."""
    renderer = JsonRenderer(sys.stdout) if as_json else TextRenderer(terminal)
    failures = FailureNews(runtime, terminal)
    try:
        agent = await _get_ready(runtime, terminal, chosen, wait_for_tools)
        failures.say()
        conversation = Conversation(
            agent, renderer, interrupts, to_message=runtime.user_message, approve=approve
        )
        if question is not None:
            finished = await conversation.turn(question)
            failures.say()
            return exit_code(finished)
        from kronk_agent.cli.interactive.repl import Repl  # heavy: prompt_toolkit

        await Repl(conversation, runtime, terminal, failures).run(interrupts)
        return 0
    finally:
        terminal.close()


async def _get_ready(
    runtime: Runtime, terminal: Terminal, chosen: Chosen, wait_for_tools: bool
) -> Agent:
    """Load the model, while the MCP servers start; wait for all, or only for those required."""
    terminal.status("loading model ...")
    default = runtime.models[0].name
    model = default if chosen.model_is_given else None
    agent = await runtime.agent(chosen.agent, model=model)
    is_starter = runtime.model_is_starter and agent.model.info.id == default
    terminal.say(f"model: {agent.model.info.id}{_STARTER if is_starter else ''}", style="dim")
    if wait_for_tools:
        await wait_until_settled(runtime, terminal)
    await wait_for_required(runtime, terminal)
    return agent


def exit_code(finished: RunFinished) -> int:
    """What the shell is told of how a run ended."""
    match finished.reason:
        case "stop" | "tool_calls" | "length":
            return 0
        case "max_steps" | "max_tool_calls":
            return 0 if finished.text else 1
        case "error" | "approval" | "malformed_tool_call":
            return 1
        case "cancelled":
            return 130
