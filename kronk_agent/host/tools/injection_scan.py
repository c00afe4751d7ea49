"""Scan of tool definitions for prompt injection ("tool poisoning").

Everything a server says about its tools goes into the prompt. These patterns are those of published
attacks. Matches are shown to the user, who decides. No pattern list is complete, so this is a help
and no guarantee.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kronk_agent.host.tools.definitions import ToolDefinition
from kronk_agent.host.tools.sanitize import strip_invisible
from kronk_agent.messages import JsonValue

_SIGNS = {
    "marks a part as important to the model": r"<\s*/?\s*(important|system|instructions?|secret)\b",
    "tells the model to hide something": (
        r"\b(do not|don't|never|without)\b[^.\n]{0,40}"
        r"\b(tell(ing)?|mention(ing)?|inform(ing)?|reveal(ing)?|show(ing)?|notify(ing)?)\b"
        r"[^.\n]{0,30}\b(user|human|person|anyone)\b"
    ),
    "tells the model to forget what it was told": (
        r"\b(ignore|disregard|forget|override)\b[^.\n]{0,30}"
        r"\b(previous|prior|above|earlier|all|other)\b[^.\n]{0,20}"
        r"\b(instructions?|prompts?|rules|tools?)\b"
    ),
    "tells the model what to do before other tools": (
        r"\b(before|when|whenever)\b[^.\n]{0,30}\b(using|calling|invoking|use|call)\b[^.\n]{0,30}"
        r"\b(any|all|other|every)\b[^.\n]{0,20}\btools?\b"
    ),
    "names a file that holds secrets": (
        r"(~|/home/\S+|/root|\$HOME)?/\.(ssh|aws|gnupg|netrc|kube|docker)\b|\bid_(rsa|ed25519)\b"
        r"|/etc/(passwd|shadow)\b|\bmcp\.json\b"
    ),
    "is written like a chat turn": r"<\|im_start\|>|\[/?INST\]|^\s*(system|assistant)\s*:",
}
_PATTERNS = {
    finding: re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for finding, pattern in _SIGNS.items()
}
_MAX_QUOTED = 60
_MIN_HIDDEN = 3
"""Characters. A joiner in an emoji or a soft hyphen is not a hidden message."""


def scan_definition(definition: ToolDefinition) -> list[str]:
    """Suspicious patterns in a definition, one finding a line, with the matched text."""
    return scan_texts(_texts(definition))


def scan_texts(texts: Iterable[str]) -> list[str]:
    """Suspicious patterns in any texts that a model will read."""
    found: dict[str, None] = {}
    for text in texts:
        visible = strip_invisible(text)
        if len(text) - len(visible) >= _MIN_HIDDEN:
            found[f"hides {len(text) - len(visible)} invisible characters"] = None
        for finding, pattern in _PATTERNS.items():
            if match := pattern.search(visible):
                quoted = " ".join(match[0].split())[:_MAX_QUOTED]
                found.setdefault(f"{finding}: {quoted!r}")
    return list(found)


def _texts(definition: ToolDefinition) -> Iterator[str]:
    yield definition.name
    if definition.description is not None:
        yield definition.description
    yield from _strings(definition.input_schema)
    yield from _strings(definition.annotations)


def _strings(value: JsonValue) -> Iterator[str]:
    """Every string in the schema: the model reads keys and defaults too."""
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)
