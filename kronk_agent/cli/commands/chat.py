"""``kronk-agent chat``: a single answer, or a conversation in the terminal."""

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
    ", the starter model, good only for a first test. Choose a better one with --model PATH.gguf "
    'or model: in the configuration (README, "Choosing a model")'
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
"""The configuration key that each flag overrides."""


@click.command()
@click.option("-p", "--prompt", metavar="TEXT", help="Answer TEXT and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
@click.option("--no-tools", is_flag=True, help="Use no tools; do not start MCP servers.")
@click.option(
    "--wait-for-tools",
    is_flag=True,
    help="Wait for all MCP servers before answering; by default, slow ones join later.",
)
@click.option("--agent", metavar="NAME", help="An agent from agents: instead of the default agent.")
@click.option("--model", metavar="PATH_OR_NAME", help="A GGUF file, or a name from models:.")
@click.option(
    "--tool-choice",
    metavar="auto|none|required|TOOL",
    help="Whether the first step may, must not or must call a tool, or the tool to call.",
)
@click.option(
    "--parallel-tool-calls/--no-parallel-tool-calls",
    default=None,
    help="Allow or forbid several tool calls in one step.",
)
@click.option(
    "--max-steps",
    type=int,
    metavar="N",
    help="Maximum model turns; tools are disabled in the last one.",
)
@click.option("--max-tokens", type=int, metavar="N", help="Maximum tokens per step.")
@click.option(
    "--temperature", type=float, metavar="T", help="Sampling temperature; 0 is greedy decoding."
)
@click.option("--seed", type=int, metavar="N", help="Random seed, for reproducible answers.")
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
    """Chat with the model, which may call tools.

    In a terminal this starts a conversation. With -p, or with text piped in, it prints a single
    answer; with both, the piped text follows the prompt. The answer goes to stdout, everything else
    to stderr.
    """
    question = read_question(prompt)
    given = {_CONFIG_KEYS[name]: value for name, value in flags.items() if value is not None}
    config = _with_flags(options, agent, given)
    config = without_tools(config) if no_tools else with_project_servers(config)
    # A forced tool call needs the tools to be ready.
    choice = agent_options(config, config.agents.get(agent or "")).tool_choice
    wait_for_tools = wait_for_tools or choice.mode in ("required", "named")
    chat_options = ChatOptions(agent, model_is_given="model" in given)
    run(partial(_chat, config, chat_options, question, as_json, wait_for_tools))


def without_tools(config: Config) -> Config:
    """Return the configuration without tools, also for each of its agents."""
    agents = {
        name: agent.model_copy(update={"tools": None}) for name, agent in config.agents.items()
    }
    return config.model_copy(update={"tools": (), "mcp_servers": {}, "agents": agents})


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """The agent and model that the user chose."""

    agent: str | None = None
    """A name from ``agents``; None means the default agent, ``agent``."""
    model_is_given: bool = False
    """True to use the default model instead of the agent's own."""


def _with_flags(
    options: GlobalOptions, agent: str | None, given: Mapping[str, str | float]
) -> Config:
    """Load the configuration; flags override the settings of the chosen agent."""
    if agent is None:
        return load_config(options.config, overrides=given)
    # Raises if the agent does not exist; an override would create it.
    agent_config(load_config(options.config), agent)
    agent_sections = {"agent": f"agents.{agent}", "sampling": f"agents.{agent}.sampling"}
    overrides: dict[str, object] = {}
    for key, value in given.items():
        section, _, rest = key.partition(".")
        overrides[f"{agent_sections[section]}.{rest}" if rest else key] = value
    return load_config(options.config, overrides=overrides)


def read_question(prompt: str | None) -> str | None:
    """Return the question from -p and stdin; None if the user is to type at a terminal.

    Raises:
        click.UsageError: neither gives any text.
    """
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    piped = ""
    if sys.stdin is not None and not is_terminal:
        piped = sys.stdin.buffer.read().decode(errors="replace")
    parts = [part for part in (prompt, piped) if part and part.strip()]
    if parts:
        return "\n\n".join(parts)
    if is_terminal and prompt is None:
        return None
    raise click.UsageError("no prompt: give -p TEXT or pipe text into stdin")


async def _chat(
    config: Config,
    chat_options: ChatOptions,
    question: str | None,
    as_json: bool,
    wait_for_tools: bool,
    interrupts: Interrupts,
) -> int:
    terminal = Terminal()
    person = _terminal_user(terminal)
    async with Runtime.open(config, person=person) as runtime:
        return await converse(
            runtime,
            interrupts,
            terminal,
            chat_options=chat_options,
            question=question,
            as_json=as_json,
            wait_for_tools=wait_for_tools,
            approve=person.approve if person else None,
        )


def _terminal_user(terminal: Terminal) -> TerminalUser | None:
    """Return the user at the terminal; None if stdin or stderr is not a terminal."""
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
    chat_options: ChatOptions = ChatOptions(),
    wait_for_tools: bool = False,
    approve: Approve | None = None,
) -> int:
    """Answer the question, or start a conversation if it is None; returns the exit code."""
    renderer = JsonRenderer(sys.stdout) if as_json else TextRenderer(terminal)
    failures = FailureNews(runtime, terminal)
    try:
        agent = await _prepare_agent(runtime, terminal, chat_options, wait_for_tools)
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


async def _prepare_agent(
    runtime: Runtime, terminal: Terminal, chat_options: ChatOptions, wait_for_tools: bool
) -> Agent:
    """Load the model while the MCP servers start; wait for all, or only the required ones."""
    terminal.status("loading model ...")
    default = runtime.models[0].name
    model = default if chat_options.model_is_given else None
    agent = await runtime.agent(chat_options.agent, model=model)
    is_starter = runtime.uses_starter_model and agent.model.info.id == default
    terminal.say(f"model: {agent.model.info.id}{_STARTER if is_starter else ''}", style="dim")
    if wait_for_tools:
        await wait_until_settled(runtime, terminal)
    await wait_for_required(runtime, terminal)
    return agent


def exit_code(finished: RunFinished) -> int:
    """Return the process exit code for how a run ended."""
    match finished.reason:
        case "stop" | "tool_calls" | "length":
            return 0
        case "max_steps" | "max_tool_calls":
            return 0 if finished.text else 1
        case "error" | "approval" | "malformed_tool_call":
            return 1
        case "cancelled":
            return 130
