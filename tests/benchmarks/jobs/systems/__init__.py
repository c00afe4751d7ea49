"""What jobs are given to: ours, and two things a person would use instead.

All have the same weights, context, temperature, instructions, and limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.jobs.job import Job, World

CONTEXT_LENGTH = 8192
MAX_STEPS = 10
MAX_TOKENS = 512
"""Of one model turn."""
INSTRUCTIONS = "You are a helpful assistant."


@dataclass(slots=True)
class Outcome:
    """A system's progress on a job, filled on the way so that a failure keeps it."""

    answers: list[str] = field(default_factory=list)
    """One for each prompt that was answered."""
    ends: list[str] = field(default_factory=list)
    """Why each of them ended, in the system's own words."""
    steps: int = 0
    """Model turns."""
    prompt_tokens: int = 0
    """Of all turns together; most of them are in the system's cache."""
    generated_tokens: int = 0
    trace: list[Any] = field(default_factory=list)
    """The conversation, as JSON in the system's own form."""


class System(Protocol):
    """Something that does jobs, one at a time."""

    @property
    def name(self) -> str: ...

    async def do(self, job: Job, world: World, outcome: Outcome) -> None:
        """Answer the job's prompts, one after the other.

        Raises:
            Exception: whatever goes wrong; the job then counts as not solved.
        """
        ...
