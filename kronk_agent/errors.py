"""The exceptions of kronk-agent.

KronkError
├── ConfigError            the YAML file, a flag or a tool path is wrong (says where)
├── ModelError             a GGUF file is missing, corrupt, or lacks a capability
│   └── UnknownModelError  no model or agent in the configuration has that name
├── InvalidRequestError    the request can never succeed; ``param`` names the field
│   ├── ContextLengthError the prompt is longer than the context
│   └── ConstraintError    a JSON Schema or grammar cannot be compiled
├── OverloadedError        the queue is full; retry later
├── DeadlineError          the deadline of the request has passed
├── EngineError            the engine failed, or was closed during the request
│   └── UpstreamError      the server of a remote model failed or violated the protocol
├── ServerUnavailableError a configured MCP server is not available
├── StoreError             the sessions database cannot be opened, read or written
└── ToolError              raised by a tool: its text becomes a result the model reads

A tool's failure is never an exception to the caller of an agent: ``ToolError`` is turned into a
``ToolResult`` with ``is_error=True`` where tools are called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_MAX_LISTED_TOOLS = 3
"""Maximum tools that an error lists."""


class KronkError(Exception):
    """Base of all errors; its text is one line that a user can act on."""


class ConfigError(KronkError):
    """The configuration is wrong. The text has one line per mistake, with place and remedy."""

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        self.message = message
        self.path = path
        """File, environment variable or flag that contains the mistake; None if unknown."""
        self.line = line
        """Line in that file, 1-based."""
        self.key = key
        """Dotted key path, e.g. ``mcp_servers.time.command``."""
        self.others: tuple[ConfigError, ...] = ()
        """Further mistakes that were found."""
        super().__init__(message)

    @classmethod
    def together(cls, mistakes: Sequence[ConfigError]) -> ConfigError:
        """Return the first mistake, carrying the others."""
        first, *others = mistakes
        first.others = tuple(others)
        return first

    def __str__(self) -> str:
        return "\n".join(mistake._text() for mistake in (self, *self.others))

    def _text(self) -> str:
        location = "" if self.path is None else f"{self.path}:"
        if location and self.line is not None:
            location += f"{self.line}:"
        text = self.message if self.key is None else f"{self.key}: {self.message}"
        return f"{location} {text}".strip()


class ModelError(KronkError):
    """The model file cannot be used."""


class UnknownModelError(ModelError):
    """No model or agent has that name."""


class InvalidRequestError(KronkError):
    """The request can never succeed; ``param`` names the invalid field."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class ContextLengthError(InvalidRequestError):
    """The prompt has more tokens than the context.

    Args:
        num_prompt_tokens: tokens of the prompt.
        context_length: maximum tokens of the context.
        tool_tokens: tokens by tool, if tools make up most of the prompt.
    """

    def __init__(
        self,
        *,
        num_prompt_tokens: int,
        context_length: int,
        tool_tokens: Mapping[str, int] | None = None,
    ) -> None:
        self.num_prompt_tokens = num_prompt_tokens
        self.context_length = context_length
        self.tool_tokens = dict(tool_tokens or {})
        remedy = "Shorten it, start a new conversation, or raise engine.context_length"
        if self.tool_tokens:
            largest = sorted(self.tool_tokens.items(), key=lambda item: -item[1])
            listed = ", ".join(f"{name} ({size})" for name, size in largest[:_MAX_LISTED_TOOLS])
            remedy = (
                f"The tools take most, above all {listed}: use fewer or raise engine.context_length"
            )
        super().__init__(
            # LangChain, LiteLLM, Cline and Claude Code detect the error by these words.
            f"This model's maximum context length is {context_length} tokens, and the prompt is "
            f"too long: {num_prompt_tokens} tokens. {remedy}",
            param="tools" if self.tool_tokens else "messages",
        )


class ConstraintError(InvalidRequestError):
    """A schema or grammar cannot be compiled; the message contains the compiler's error."""


class OverloadedError(KronkError):
    """Rejected because the queue is full."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class DeadlineError(KronkError):
    """The deadline of a request passed; the output generated until then was delivered."""

    def __init__(self, *, num_tokens: int) -> None:
        self.num_tokens = num_tokens
        super().__init__(f"the request's deadline passed after {num_tokens} generated tokens")


class EngineError(KronkError):
    """The engine failed, or was closed during the request."""


class UpstreamError(EngineError):
    """The server of a remote model is unreachable, failed, or violated the protocol."""


class ServerUnavailableError(KronkError):
    """A configured MCP server could not be started or reached, or has died."""


class StoreError(KronkError):
    """The sessions database cannot be opened, read or written."""


class ToolError(KronkError):
    """Raised by a tool to tell the model what went wrong and what to do instead."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code
        """Machine-readable code as in Anthropic's web tools, such as ``url_not_allowed``."""
        super().__init__(message)


MODEL_ERRORS = (EngineError, OverloadedError, InvalidRequestError, ModelError)
"""Errors that a chat model may raise; see ``ChatModel.stream``."""


def unwrap(error: BaseException) -> BaseException:
    """Return the first actual error inside the nested exception groups that task groups create."""
    return next(_leaves(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
