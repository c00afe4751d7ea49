"""What a tool may know of the run that calls it."""

from __future__ import annotations

from collections.abc import Sequence

from kronk_agent.messages import Message, Source


class RunContext:
    """One run, as its tools see it: the conversation it answers, and what they leave there.

    To be used on the event loop only: it is shared by all calls of the run.
    """

    def __init__(self, messages: Sequence[Message] = ()) -> None:
        self.messages = tuple(messages)
        """The conversation the run was given."""
        self.addresses: dict[str, str] = {}
        """Web addresses that have come up, by the form in which the tools compare them."""
        self._sources: dict[str, Source] = {}
        self._last_number = 0

    @property
    def sources(self) -> tuple[Source, ...]:
        """What was cited in this run, by number."""
        return tuple(self._sources.values())

    def cite(self, url: str, title: str | None = None) -> int:
        """The number of a page: the one it has, or the next."""
        known = self._sources.get(url)
        if known is not None:
            return known.number
        self._last_number += 1
        self._sources[url] = Source(self._last_number, url, title)
        return self._last_number

    def number_after(self, number: int) -> None:
        """Use no number up to this one: in the conversation it stands for another page."""
        self._last_number = max(self._last_number, number)
