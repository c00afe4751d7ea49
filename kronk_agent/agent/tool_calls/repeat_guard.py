"""Detects a model that makes the same call again and again without progress."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from kronk_agent.messages import Part, TextPart, ToolResult

_CALLS_AFTER_WARNING = 2
"""Identical calls that the model may still make after it was told to do something else."""
_UNCHANGED = TextPart("(unchanged)")
_ERROR = re.compile(
    r"((error|exception|failed|failure)\b[^\n:]{0,60}|(\w+ ){1,2}(error|exception|failure)):",
    re.IGNORECASE,
)
"""How servers begin a result that is an error, and that they do not mark as one."""


@dataclass(slots=True)
class RepeatGuard:
    """Counts identical calls in a row that gave identical results.

    Every call is executed; this only decides what the model is told, and which tools the next turn
    may call. Another call or another result in between starts the count anew, and a failure never
    counts.
    """

    limit: int
    """Calls in a row after which the model is told to do something else."""
    count: int = 0
    """Identical calls so far that succeeded, the first one included."""
    is_repeat: bool = False
    """True if the last call and its result were those of the call before it."""
    stuck: set[str] = field(default_factory=set)
    """Tools that failed twice in a row with the same arguments and the same error, and after which
    no other call has succeeded. The next turn is to call another tool, if there is one."""
    has_failed: bool = False
    """True if the last call failed, by its mark or by its words."""
    _key: str | None = None
    _content: tuple[Part, ...] = ()

    def observe(self, key: str, result: ToolResult) -> ToolResult:
        """Count the next call of the run; gives the result as the model is to read it."""
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
        """True when the model is told to do something else."""
        return self.count >= self.limit

    @property
    def must_answer(self) -> bool:
        """True when the model went on regardless, so that tools are withheld."""
        return self.count >= self.limit + _CALLS_AFTER_WARNING
