"""MCP prompts: delegation to the agent, and the prompts of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mcp.types as t
from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kronk_agent.config.schema.serve_mcp import PromptConfig
from kronk_agent.errors import ConfigError
from kronk_agent.runtime import Runtime
from kronk_mcp_servers.serving.registry import Completed
from kronk_mcp_servers.serving.request_context import RequestContext

_DELEGATE = "delegate"


class AgentPrompts:
    """Prompts that delegate a task: ``delegate``, and ``delegate_to_NAME`` per named agent."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def prompts(self) -> Sequence[t.Prompt]:
        """Return the prompts."""
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
        self, name: str, arguments: Mapping[str, str], call: RequestContext
    ) -> t.GetPromptResult | None:
        """Return the prompt's message; None if the name is unknown."""
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
        """Return no suggestions for the task; None for other prompts."""
        return Completed(()) if of.startswith(_DELEGATE) and argument == "task" else None


@dataclass(frozen=True, slots=True)
class _FilePrompt:
    """A prompt of the configuration and its template."""

    source: str
    prompt: t.Prompt


class FilePrompts:
    """The prompts of ``serve_mcp.prompts``; the variables in their {{ }} are arguments.

    Raises:
        ConfigError: a file cannot be read, or is not a valid template.
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
        """Return the prompts."""
        return [filled.prompt for filled in self._prompts.values()]

    async def get(
        self, name: str, arguments: Mapping[str, str], call: RequestContext
    ) -> t.GetPromptResult | None:
        """Render the prompt; None if the name is unknown."""
        found = self._prompts.get(name)
        if found is None:
            return None
        return _user_message(self._environment.from_string(found.source).render(arguments))

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        """Return no suggestions for known arguments; None for others."""
        found = self._prompts.get(of)
        is_known = found is not None and argument in {a.name for a in found.prompt.arguments or ()}
        return Completed(()) if is_known else None

    def _read(self, runtime: Runtime, name: str, config: PromptConfig) -> _FilePrompt:
        key = f"serve_mcp.prompts.{name}"
        if name.startswith(_DELEGATE):
            raise ConfigError(
                "names that begin with delegate are reserved: choose another", key=key
            )
        source = config.text
        if config.file is not None:
            try:
                source = (runtime.base_dir / config.file.expanduser()).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                message = f"{config.file} cannot be read: {error}"
                raise ConfigError(message, key=f"{key}.file") from error
        assert source is not None
        try:
            names = meta.find_undeclared_variables(self._environment.parse(source))
        except TemplateSyntaxError as error:
            message = f"invalid template, line {error.lineno}: {error.message}"
            raise ConfigError(message, key=key) from error
        if unknown := config.arguments.keys() - names:
            message = f"the text does not contain {{{{ {min(unknown)} }}}}"
            raise ConfigError(message, key=f"{key}.arguments.{min(unknown)}")
        arguments = [
            t.PromptArgument(name=each, description=config.arguments.get(each), required=True)
            for each in sorted(names, key=source.index)
        ]
        prompt = t.Prompt(name=name, description=config.description or None, arguments=arguments)
        return _FilePrompt(source, prompt)


def _user_message(text: str) -> t.GetPromptResult:
    content = t.TextContent(text=text)
    return t.GetPromptResult(messages=[t.PromptMessage(role="user", content=content)])
