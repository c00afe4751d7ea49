"""Detects a model that makes the same call again and again without progress."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kronk_agent.messages import Part, TextPart, ToolResult

_CALLS_AFTER_WARNING = 2
"""Identical calls that the model may still make after it was told to do something else."""


@dataclass(slots=True)
class RepeatGuard:
    """Counts identical calls in a row that gave identical results.

    Every call is executed; this only decides what the model is told. Any other call, another
    result or a failure in between starts the count anew.
    """

    limit: int
    """Calls in a row after which the model is told to do something else."""
    _key: str | None = None
    _content: tuple[Part, ...] = ()
    count: int = 0
    """Identical calls so far, the first one included."""

    def observe(self, key: str, result: ToolResult) -> ToolResult:
        """Count the next call of the run; gives the result as the model is to read it."""
        if result.is_error:
            self._key, self.count = None, 0
            return result
        if key == self._key and result.content == self._content:
            self.count += 1
        else:
            self._key, self._content, self.count = key, result.content, 1
        return result if self.count == 1 else replace(result, content=self._noted(result.content))

    @property
    def is_at_limit(self) -> bool:
        """True when the model has just been told to do something else."""
        return self.count == self.limit

    @property
    def must_answer(self) -> bool:
        """True when the model went on regardless, so that tools are withheld."""
        return self.count >= self.limit + _CALLS_AFTER_WARNING

    def _noted(self, content: tuple[Part, ...]) -> tuple[Part, ...]:
        note = "(Unchanged: the same call gave the same result before.)"
        if self.count >= self.limit:
            note = (
                f"(This call was made {self.count} times in a row and gave the same result each "
                "time. Do not make it again: call something else, or answer.)"
            )
        return (*content, TextPart(note))
