"""How calls are written, as data: marks around a name and a JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kronk_agent.messages import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFormat:
    """The marks of a format in which arguments are JSON.

    Calls are ``section_begin call (separator call)* section_end``, and a call is
    ``call_begin NAME arguments_begin {…} call_end``.
    """

    trigger: str
    """What the marks begin with and no other text contains: where it is seen, a call follows.
    Either all of it is a special token's text, or nothing in it is."""
    section_begin: str = ""
    call_begin: str
    arguments_begin: str
    call_end: str
    separator: str = ""
    section_end: str = ""

    def __post_init__(self) -> None:
        assert self.trigger
        assert self.begin.startswith(self.trigger)

    @property
    def begin(self) -> str:
        """Everything before the name in the first call."""
        return self.section_begin + self.call_begin

    @property
    def next_begin(self) -> str:
        """Everything between the end of one call and the name in the next."""
        return self.separator + self.call_begin

    def write(self, calls: Sequence[ToolCall]) -> str:
        """The text of these calls, as a model would write them."""
        written = (
            f"{self.call_begin}{call.name}{self.arguments_begin}{call.arguments}{self.call_end}"
            for call in calls
        )
        return f"{self.section_begin}{self.separator.join(written)}{self.section_end}"


@dataclass(frozen=True, slots=True)
class ThinkingTags:
    """The marks around what a model thinks before it answers."""

    begin: str
    end: str


HERMES = CallFormat(
    trigger="<tool_call>",
    call_begin='<tool_call>\n{"name": "',
    arguments_begin='", "arguments": ',
    call_end="}\n</tool_call>",
    separator="\n",
)
"""NousResearch Hermes 2 Pro and 3, Qwen 2.5 and 3, Granite 4: as in their chat templates."""

GENERIC = CallFormat(
    trigger='{"tool_call":',
    call_begin='{"tool_call": {"name": "',
    arguments_begin='", "arguments": ',
    call_end="}}",
    separator="\n",
)
"""Ours, for models that have no format of their own or one we do not know."""

THINK = ThinkingTags("<think>", "</think>")
"""Qwen 3, DeepSeek R1 and many others."""
