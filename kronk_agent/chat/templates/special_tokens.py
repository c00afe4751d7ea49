"""Escape special tokens in untrusted text.

Before a template is rendered, the characters of untrusted text that could be part of a special
token are replaced by private-use characters that the text does not contain, and that templates pass
on like letters. Afterwards they are changed back. So wherever the prompt has the text of a special
token, it is known whether all of it came from the template. If not, the prompt is cut inside that
text and the segments are tokenized one by one: no token spans a cut.

The check is done on the rendered prompt, so it works however the text got there: unchanged, joined
from two messages by the template, trimmed or lowercased. A prompt without such text is not cut, and
is tokenized exactly as the template's authors intended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, JsonValue

_MASKS = range(0x10FFFD, 0xF0000, -1)
"""The two supplementary private-use planes."""
_PRIVATE_USE = re.compile("[\U000f0000-\U0010fffd]")
# fmt: off
_READ_BY_TEMPLATES = frozenset({
    "role", "content", "reasoning_content", "tool_calls", "tool_call_id", "id", "type", "function",
    "name", "description", "arguments", "parameters", "string", "number", "integer", "boolean",
    "object", "array", "null", "properties", "required", "items", "prefixItems", "enum", "const",
    "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "additionalProperties", "default",
    "title", "format", "pattern", "nullable", "examples", "minimum", "maximum", "minLength",
    "maxLength", "minItems", "maxItems",
})
"""Keywords of messages and JSON Schemas, which templates look up and compare."""
# fmt: on


@dataclass(frozen=True, slots=True)
class SegmentedPrompt:
    """A rendered prompt in segments; no token may span two of them."""

    segments: tuple[str, ...]
    generation_prompt: str = ""
    """The part after the last message, which starts the assistant's turn."""

    @property
    def text(self) -> str:
        """The whole prompt as text."""
        return "".join(self.segments)

    def tokenize(self, vocabulary: Vocabulary) -> list[int]:
        """Return token ids, with the model's BOS token unless the template wrote it."""
        first, *others = self.segments
        has_bos = vocabulary.bos_text != "" and first.startswith(vocabulary.bos_text)
        tokens = vocabulary.tokenize(first, parse_special=True, add_special=not has_bos)
        for segment in others:
            tokens += vocabulary.tokenize(segment, parse_special=True)
        return tokens


class SpecialTexts:
    """Texts of a vocabulary's special tokens, except mere words."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = frozenset(text for text in texts if len(text) > 1 and _symbols(text))
        self._lengths = sorted({len(text) for text in self._texts})
        self._starts = frozenset(text[0] for text in self._texts)
        self._insides = "\0".join(sorted(text[1:-1] for text in self._texts))
        self.symbols = frozenset(symbol for text in self._texts for symbol in _symbols(text))
        """Characters such that every special text has one of them at an end, or inside."""

    def has_inside(self, text: str) -> bool:
        """Return true if this text occurs inside a special text, between its two ends."""
        return text != "" and text in self._insides

    def find_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield start and end of each special text in a text, including overlapping ones."""
        starts = (start for start, character in enumerate(text) if character in self._starts)
        for start in starts:
            for length in self._lengths:
                end = start + length
                if end <= len(text) and text[start:end] in self._texts:
                    yield start, end


class SpecialTokenEscaper:
    """Escapes untrusted values for one rendering, and recognises them in the rendered text.

    Args:
        special: the special texts to escape.
        untrusted: all values from outside; the replacement characters occur in none of them.

    Raises:
        InvalidRequestError: the values use every private-use character.
    """

    def __init__(self, special: SpecialTexts, untrusted: JsonValue) -> None:
        self._special = special
        used = {mask for text in _texts_in(untrusted) for mask in _PRIVATE_USE.findall(text)}
        self._free = (mask for mask in map(chr, _MASKS) if mask not in used)
        self._masks: dict[str, str] = {}
        self._symbols = {ord(symbol): self._mask(symbol) for symbol in sorted(special.symbols)}

    def escape(self, value: JsonObject) -> JsonObject:
        """Return the object with every text in it escaped, keys included."""
        return {self._escape_text(key): self._escape_value(item) for key, item in value.items()}

    def unescape(self, rendered: str) -> str:
        """Return a rendered text with the original characters."""
        return rendered.translate({ord(mask): c for c, mask in self._masks.items()})

    def to_prompt(self, rendered: str, generation_prompt: str = "") -> SegmentedPrompt:
        """Unescape a rendered text, cut wherever untrusted text is part of a special token's text.

        Args:
            rendered: the escaped text up to the turn.
            generation_prompt: the escaped text that follows it and starts the assistant's turn.
        """
        rendered += generation_prompt
        generation_prompt = self.unescape(generation_prompt)
        text = self.unescape(rendered)
        if text == rendered:
            return SegmentedPrompt((text,), generation_prompt)
        cuts = set()
        for start, end in self._special.find_in(text):
            untrusted = [i for i in range(start, end) if text[i] != rendered[i]]
            if untrusted:
                # Cut next to an untrusted character, so that no token of the template is cut.
                cuts.add(max(untrusted[0], start + 1))
        edges = [0, *sorted(cuts), len(text)]
        return SegmentedPrompt(tuple(text[a:b] for a, b in pairwise(edges)), generation_prompt)

    def _escape_value(self, value: JsonValue) -> JsonValue:
        match value:
            case str():
                return self._escape_text(value)
            case list():
                return [self._escape_value(item) for item in value]
            case dict():
                return self.escape(value)
            case _:
                return value

    def _escape_text(self, text: str) -> str:
        if text in _READ_BY_TEMPLATES:
            return text
        inside = text.strip()
        if self._special.has_inside(inside):
            text = text.replace(inside, self._mask(inside[0]) + inside[1:])
        return text.translate(self._symbols)

    def _mask(self, character: str) -> str:
        if character in self._masks:
            return self._masks[character]
        mask = next(self._free, None)
        if mask is None:
            raise InvalidRequestError(
                "the messages use every private-use character of Unicode; remove some",
                param="messages",
            )
        self._masks[character] = mask
        return mask


def _symbols(text: str) -> list[str]:
    """Return the ends of a special text that are symbols, else all symbols inside it.

    A symbol is neither a letter nor a digit nor a blank.
    """
    ends, inner = (text[0], text[-1]), text[1:-1]
    return [c for c in ends if _is_symbol(c)] or [c for c in inner if _is_symbol(c)]


def _is_symbol(character: str) -> bool:
    return not character.isalnum() and not character.isspace()


def _texts_in(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts_in(item)
        case dict():
            for key, item in value.items():
                yield key
                yield from _texts_in(item)
        case _:
            return
