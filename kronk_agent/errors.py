"""Every exception kronk-agent raises on purpose.

KronkError
├── ConfigError            the YAML, a flag or a tool path is wrong (says where)
├── ModelError             a GGUF file is missing, corrupt or cannot do what is asked of it
│   └── UnknownModelError  nothing in the configuration has that name
├── InvalidRequestError    a request that can never work; ``param`` names the field
│   ├── ContextLengthError the prompt is longer than the context
│   └── ConstraintError    a JSON Schema or grammar that cannot be compiled
├── OverloadedError        the queue is full; worth trying again later
├── DeadlineError          the time a request was given is over
├── EngineError            the engine itself failed, or was closed under the request
│   └── UpstreamError      the server a remote model runs on failed, or broke what was agreed
├── ServerUnavailableError a registered MCP server is down
├── StoreError             the database of the sessions cannot be opened, read or written
└── ToolError              raised by a tool: its text becomes a result the model reads

A tool's failure is never an exception to the caller of an agent: ``ToolError`` is turned into a
``ToolResult`` with ``is_error=True`` where tools are called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_MAX_TOOLS_NAMED = 3
"""Tools that an error names."""


class KronkError(Exception):
    """Root of the tree; its text is one line a person can act on."""


class ConfigError(KronkError):
    """The configuration is wrong; says where and what would do, a line for each mistake."""

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
        """File, environment variable or flag the mistake is in, if it is in one."""
        self.line = line
        """Line in that file, counted from 1."""
        self.key = key
        """Dotted key path, e.g. ``mcp_servers.time.command``."""
        self.others: tuple[ConfigError, ...] = ()
        """Further mistakes found in the same reading."""
        super().__init__(message)

    @classmethod
    def together(cls, mistakes: Sequence[ConfigError]) -> ConfigError:
        """The first mistake, carrying the others."""
        first, *others = mistakes
        first.others = tuple(others)
        return first

    def __str__(self) -> str:
        return "\n".join(mistake._text() for mistake in (self, *self.others))

    def _text(self) -> str:
        where = "" if self.path is None else f"{self.path}:"
        if where and self.line is not None:
            where += f"{self.line}:"
        what = self.message if self.key is None else f"{self.key}: {self.message}"
        return f"{where} {what}".strip()


class ModelError(KronkError):
    """The model file cannot be used."""


class UnknownModelError(ModelError):
    """There is no model, or no agent, of that name."""


class InvalidRequestError(KronkError):
    """The request can never work as it is; ``param`` names the field at fault."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class ContextLengthError(InvalidRequestError):
    """The prompt has more tokens than the context holds.

    Args:
        num_prompt_tokens: tokens of the prompt.
        context_length: tokens the context holds.
        tool_tokens: where tools take most of the prompt, the tokens of each by name.
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
            named = ", ".join(f"{name} ({size})" for name, size in largest[:_MAX_TOOLS_NAMED])
            remedy = (
                f"The tools take most, above all {named}: use fewer or raise engine.context_length"
            )
        super().__init__(
            # By these words LangChain, LiteLLM, Cline and Claude Code know what happened.
            f"This model's maximum context length is {context_length} tokens, and the prompt is "
            f"too long: {num_prompt_tokens} tokens. {remedy}",
            param="tools" if self.tool_tokens else "messages",
        )


class ConstraintError(InvalidRequestError):
    """A schema or grammar was refused by the compiler, whose words are in the message."""


class OverloadedError(KronkError):
    """Refused at once because the queue is full."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class DeadlineError(KronkError):
    """The time a request was given is over; what was generated until then was delivered."""

    def __init__(self, *, num_tokens: int) -> None:
        self.num_tokens = num_tokens
        super().__init__(f"the request's deadline passed after {num_tokens} generated tokens")


class EngineError(KronkError):
    """The engine failed or was closed while the request was in it."""


class UpstreamError(EngineError):
    """The server a remote model runs on cannot be reached, failed, or answered what it must not."""


class ServerUnavailableError(KronkError):
    """A registered MCP server could not be started or reached, or died."""


class StoreError(KronkError):
    """The database that keeps the sessions cannot be opened, read or written."""


class ToolError(KronkError):
    """Raise from a tool to tell the model what went wrong and what would do."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code
        """The same for programs, in the words of Anthropic's web tools (``url_not_allowed``)."""
        super().__init__(message)


MODEL_ERRORS = (EngineError, OverloadedError, InvalidRequestError, ModelError)
"""Errors that a chat model may raise; see ``ChatModel.stream``."""


def unwrap(error: BaseException) -> BaseException:
    """The first real cause inside nested exception groups, which task groups wrap errors in."""
    return next(_leaves(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
