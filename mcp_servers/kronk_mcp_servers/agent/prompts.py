"""Prompts for clients: one for the agent, and those of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mcp.types as t
from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kronk_agent.config.schema.serve_mcp import PromptConfig
from kronk_agent.errors import ConfigError
from kronk_agent.runtime import Runtime
from kronk_mcp_servers.serving.call import Call
from kronk_mcp_servers.serving.registry import Completed

_DELEGATE = "delegate"


class AgentPrompts:
    """``delegate`` and, for each named agent, ``delegate_to_NAME``: give a task to the agent."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def prompts(self) -> Sequence[t.Prompt]:
        task = t.PromptArgument(name="task", description="What is to be done.", required=True)
        default = t.Prompt(
            name=_DELEGATE,
            title="Delegate to the local agent",
            description="Have the local agent do a task.",
            arguments=[task],
        )
        named = [
            t.Prompt(
                name=f"{_DELEGATE}_to_{name}",
                title=f"Delegate to {name}",
                description=agent.description or f"Have the local agent {name} do a task.",
                arguments=[task],
            )
            for name, agent in self._runtime.config.agents.items()
        ]
        return [default, *named]

    async def get(
        self, name: str, arguments: Mapping[str, str], call: Call
    ) -> t.GetPromptResult | None:
        agent = name.removeprefix(f"{_DELEGATE}_to_")
        if name != _DELEGATE and agent not in self._runtime.config.agents:
            return None
        whom = "" if name == _DELEGATE else f" (agent: {agent})"
        return _user_message(
            f"Give this task to the tool ask_agent{whom}, in words that need no other context, and "
            f"tell me what it answers, with its sources:\n\n{arguments['task']}"
        )

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        return Completed(()) if of.startswith(_DELEGATE) and argument == "task" else None


@dataclass(frozen=True, slots=True)
class _Filled:
    source: str
    prompt: t.Prompt


class FilePrompts:
    """The ones of ``serve_mcp.prompts``; what is in their {{ }} are their arguments.

    Raises:
        ConfigError: a file cannot be read, or is no template.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True
        )
        self._prompts = {
            name: self._read(runtime, name, config)
            for name, config in runtime.config.serve_mcp.prompts.items()
        }

    async def prompts(self) -> Sequence[t.Prompt]:
        return [filled.prompt for filled in self._prompts.values()]

    async def get(
        self, name: str, arguments: Mapping[str, str], call: Call
    ) -> t.GetPromptResult | None:
        found = self._prompts.get(name)
        if found is None:
            return None
        return _user_message(self._environment.from_string(found.source).render(arguments))

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        found = self._prompts.get(of)
        known = found is not None and argument in {a.name for a in found.prompt.arguments or ()}
        return Completed(()) if known else None

    def _read(self, runtime: Runtime, name: str, config: PromptConfig) -> _Filled:
        key = f"serve_mcp.prompts.{name}"
        if name.startswith(_DELEGATE):
            raise ConfigError("prompts whose names begin with delegate are ours", key=key)
        source = config.text
        if config.file is not None:
            try:
                source = (runtime.base_dir / config.file.expanduser()).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                words = f"{config.file} cannot be read: {error}"
                raise ConfigError(words, key=f"{key}.file") from error
        assert source is not None
        try:
            names = meta.find_undeclared_variables(self._environment.parse(source))
        except TemplateSyntaxError as error:
            words = f"line {error.lineno} of its text: {error.message}"
            raise ConfigError(words, key=key) from error
        if unknown := config.arguments.keys() - names:
            words = f"its text has no {{{{ {min(unknown)} }}}}"
            raise ConfigError(words, key=f"{key}.arguments.{min(unknown)}")
        arguments = [
            t.PromptArgument(name=each, description=config.arguments.get(each), required=True)
            for each in sorted(names, key=source.index)
        ]
        prompt = t.Prompt(name=name, description=config.description or None, arguments=arguments)
        return _Filled(source, prompt)


def _user_message(text: str) -> t.GetPromptResult:
    content = t.TextContent(text=text)
    return t.GetPromptResult(messages=[t.PromptMessage(role="user", content=content)])
