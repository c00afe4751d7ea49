"""Search in a text, returning matches with the lines around them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from kronk_tools.text import count_tokens, end_of_tokens

_AROUND_CHARS = 300


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text, as character offsets."""

    start: int
    end: int


def find_passages(text: str, pattern: str, *, start: int = 0) -> list[Passage]:
    """Find the passages from ``start`` on that contain the words of the pattern in sequence.

    Case and the amount of whitespace are ignored. Overlapping passages are merged.
    """
    passages: list[Passage] = []
    for begin, end in _matches(text, pattern, start):
        around = Passage(_start_of(text, begin), _end_of(text, end))
        if passages and around.start <= passages[-1].end:
            passages[-1] = Passage(passages[-1].start, max(passages[-1].end, around.end))
        else:
            passages.append(around)
    return passages


def section_start(text: str, anchors: Mapping[str, int], fragment: str) -> int | None:
    """Start of the line that a URL fragment refers to; None if it is not in the text.

    Args:
        text: the text.
        anchors: offsets of the text's anchors, by name.
        fragment: ``name``, or ``:~:text=words`` for the first occurrence of these words.
    """
    name, _, directive = fragment.partition(":~:")
    if name:
        name = unquote(name)
        # GitHub prefixes the ids of sections, but links to them without the prefix.
        candidates = (
            anchors.get(spelled) for spelled in (name, f"user-content-{name}", name.lower())
        )
        found = next((offset for offset in candidates if offset is not None), None)
        if found is not None and found < len(text):
            return text.rfind("\n", 0, found) + 1
    for part in directive.split("&"):
        key, _, value = part.partition("=")
        words = [unquote(word) for word in value.split(",") if not word.endswith("-")]
        if key == "text" and words and words[0].strip():
            begin = next((begin for begin, _ in _matches(text, words[0], 0)), None)
            return None if begin is None else text.rfind("\n", 0, begin) + 1
    return None


def count_matches(text: str, pattern: str) -> int:
    """Count the occurrences of the pattern."""
    return sum(1 for _ in _matches(text, pattern, 0))


def fitting_passages(text: str, passages: Sequence[Passage], *, max_tokens: int) -> list[Passage]:
    """The first passages that fit into ``max_tokens``; the first one is truncated if necessary."""
    fitting: list[Passage] = []
    budget = max_tokens
    for passage in passages:
        end = end_of_tokens(text, passage.start, max_tokens=budget)
        if end < passage.end and fitting:
            break
        fitting.append(Passage(passage.start, min(end, passage.end)))
        budget -= count_tokens(text[passage.start : passage.end])
    return fitting


def _matches(text: str, pattern: str, start: int) -> Iterator[tuple[int, int]]:
    # Every word is escaped, so that no pattern can be slow.
    words = r"\s+".join(map(re.escape, pattern.split()))
    for match in re.compile(words, re.IGNORECASE).finditer(text, start):
        yield match.start(), match.end()


def _start_of(text: str, position: int) -> int:
    """Start of the paragraph, or of a word if that is too far away."""
    lowest = max(0, position - _AROUND_CHARS)
    for boundary in ("\n\n", "\n", " "):
        found = text.rfind(boundary, lowest, position)
        if found != -1:
            return found + len(boundary)
    return lowest


def _end_of(text: str, position: int) -> int:
    highest = min(len(text), position + _AROUND_CHARS)
    for boundary in ("\n\n", "\n"):
        found = text.find(boundary, position, highest)
        if found != -1:
            return found
    found = text.rfind(" ", position, highest) if highest < len(text) else -1
    return highest if found == -1 else found
