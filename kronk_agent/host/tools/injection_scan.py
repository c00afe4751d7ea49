"""Signs that a tool's description was written to steer the model, not to describe the tool.

Everything a server says of its tools goes into the prompt. These are the marks of published
attacks ("tool poisoning"): they are told to the person, who decides. No list of words can be
complete, so this is a help and no guarantee.
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
    about: re.compile(pattern, re.IGNORECASE | re.MULTILINE) for about, pattern in _SIGNS.items()
}
_MAX_QUOTED = 60
_MIN_HIDDEN = 3
"""Characters. A joiner in an emoji or a soft hyphen is no hidden message."""


def suspicions(definition: ToolDefinition) -> list[str]:
    """What a person should look at, one sign a line, with the words it was found in."""
    return suspicious_signs(_texts(definition))


def suspicious_signs(texts: Iterable[str]) -> list[str]:
    """The same for any texts that a model will read."""
    found: dict[str, None] = {}
    for text in texts:
        seen = strip_invisible(text)
        if len(text) - len(seen) >= _MIN_HIDDEN:
            found[f"hides {len(text) - len(seen)} invisible characters"] = None
        for about, pattern in _PATTERNS.items():
            if match := pattern.search(seen):
                quoted = " ".join(match[0].split())[:_MAX_QUOTED]
                found.setdefault(f"{about}: {quoted!r}")
    return list(found)


def _texts(definition: ToolDefinition) -> Iterator[str]:
    yield definition.name
    if definition.description is not None:
        yield definition.description
    yield from _strings(definition.input_schema)
    yield from _strings(definition.annotations)


def _strings(value: JsonValue) -> Iterator[str]:
    """Every text in the schema: the model reads keys and defaults too."""
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
