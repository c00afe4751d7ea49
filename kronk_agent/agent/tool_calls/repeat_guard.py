"""Detects a model that repeats the same call without progress."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from kronk_agent.messages import Part, TextPart, ToolResult

_CALLS_AFTER_WARNING = 2
"""Identical calls allowed after the model was told to do something else."""
_UNCHANGED = TextPart("(unchanged)")
_ERROR = re.compile(
    r"((error|exception|failed|failure)\b[^\n:]{0,60}|(\w+ ){1,2}(error|exception|failure)):",
    re.IGNORECASE,
)
"""Beginnings of results that are errors but not marked as such by the server."""


@dataclass(slots=True)
class RepeatGuard:
    """Counts consecutive identical calls with identical results.

    Every call is executed; this only decides what the model is told, and which tools the next turn
    may call. Another call or result in between resets the count, and failures are not counted.
    """

    limit: int
    """Consecutive calls after which the model is told to do something else."""
    count: int = 0
    """Consecutive identical calls so far that succeeded, including the first."""
    is_repeat: bool = False
    """True if the last call and its result equal the previous ones."""
    stuck: set[str] = field(default_factory=set)
    """Tools that failed twice in a row with the same arguments and the same error.

    Cleared when a call succeeds. The next turn should call another tool, if any.
    """
    has_failed: bool = False
    """True if the last call failed, by its error flag or its text."""
    _key: str | None = None
    _content: tuple[Part, ...] = ()

    def observe(self, key: str, result: ToolResult) -> ToolResult:
        """Record the next call of the run; returns the result as the model should read it."""
        self.is_repeat = key == self._key and result.content == self._content
        self.has_failed = result.is_error or _ERROR.match(result.text) is not None
        self._key, self._content = key, result.content
        if self.has_failed:
            self.count = 0
            if self.is_repeat:
                self.stuck.add(result.name)
            return result
        self.stuck.clear()
        self.count = self.count + 1 if self.is_repeat else 1
        if not self.is_repeat:
            return result
        return replace(result, content=(*result.content, _UNCHANGED))

    @property
    def is_at_limit(self) -> bool:
        """True when the model is to be told to do something else."""
        return self.count >= self.limit

    @property
    def must_answer(self) -> bool:
        """True when the model kept repeating the call, so that tools are disabled."""
        return self.count >= self.limit + _CALLS_AFTER_WARNING
