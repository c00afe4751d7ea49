"""The context of a run that its tools can access."""

from __future__ import annotations

from collections.abc import Sequence

from kronk_agent.messages import Message, Source


class RunContext:
    """One run from the view of its tools: the conversation, and state shared by its calls.

    Use it on the event loop only: all calls of the run share it.
    """

    def __init__(self, messages: Sequence[Message] = ()) -> None:
        self.messages = tuple(messages)
        """The conversation that the run started with."""
        self.addresses: dict[str, str] = {}
        """URLs mentioned so far, keyed by the form in which tools compare them."""
        self._sources: dict[str, Source] = {}
        self._last_number = 0

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources cited in this run, by number."""
        return tuple(self._sources.values())

    def cite(self, url: str, title: str | None = None) -> int:
        """Return the number of a page, assigning the next one if it has none."""
        source = self._sources.get(url)
        if source is not None:
            return source.number
        self._last_number += 1
        self._sources[url] = Source(self._last_number, url, title)
        return self._last_number

    def number_after(self, number: int) -> None:
        """Reserve numbers up to this one, which the conversation uses for other pages."""
        self._last_number = max(self._last_number, number)
