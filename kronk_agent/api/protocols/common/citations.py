"""Citations of web pages in an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kronk_agent.messages import JsonObject, Source

_CITATION = re.compile(r"\[(\d+)\]")


def citations(text: str, sources: Sequence[Source]) -> list[JsonObject]:
    """A ``url_citation`` for each ``[number]`` in the text that refers to a source."""
    by_number = {source.number: source for source in sources}
    return [
        {
            "type": "url_citation",
            "start_index": found.start(),
            "end_index": found.end(),
            "url": source.url,
            "title": source.title or "",
        }
        for found in _CITATION.finditer(text)
        if (source := by_number.get(int(found[1])))
    ]
