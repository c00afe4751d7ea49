"""Special tokens in untrusted text are inert.

Before a template is rendered, the characters of untrusted text that could make up a special token
are exchanged for private-use characters the text does not have, which templates pass on like any
letter. Afterwards they are changed back, so it is known, wherever the prompt shows the text of a
special token, whether all of it came from the template. If not, the prompt is cut inside that text
and the pieces are tokenised one by one: no token reaches across a cut. Because it is the rendered
prompt that is looked at, it does not matter how the text got there: whole, from two messages the
template joined, or trimmed and lowercased. A prompt without such text is not cut at all and
tokenises exactly as the template's authors meant.
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
"""The two supplementary planes for private use."""
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
"""Words of the conversation's and the schemas' form, which templates look up and compare."""
# fmt: on


@dataclass(frozen=True, slots=True)
class SegmentedPrompt:
    """A rendered prompt, in pieces no token may reach across."""

    pieces: tuple[str, ...]
    generation_prompt: str = ""
    """What of it comes after the last message, and begins the assistant's turn."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def tokenize(self, vocabulary: Vocabulary) -> list[int]:
        """Token ids, with the BOS token the model wants unless the template wrote it."""
        first, *others = self.pieces
        has_bos = vocabulary.bos_text != "" and first.startswith(vocabulary.bos_text)
        tokens = vocabulary.tokenize(first, parse_special=True, add_special=not has_bos)
        for piece in others:
            tokens += vocabulary.tokenize(piece, parse_special=True)
        return tokens


class SpecialTexts:
    """The texts of a vocabulary's special tokens, as far as they are marks and not mere words."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = frozenset(text for text in texts if len(text) > 1 and _signs(text))
        self._lengths = sorted({len(text) for text in self._texts})
        self._starts = frozenset(text[0] for text in self._texts)
        self._insides = "\0".join(sorted(text[1:-1] for text in self._texts))
        self.signs = frozenset(sign for text in self._texts for sign in _signs(text))
        """Characters of which every special text has one at either end."""

    def has_inside(self, text: str) -> bool:
        """Would this text be part of a special one if a template wrote the two ends around it?"""
        return text != "" and text in self._insides

    def find_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Where special texts begin and end in a text, overlapping ones included."""
        starts = (start for start, character in enumerate(text) if character in self._starts)
        for start in starts:
            for length in self._lengths:
                end = start + length
                if end <= len(text) and text[start:end] in self._texts:
                    yield start, end


class SpecialTokenEscaper:
    """Hides untrusted values from one rendering, and knows them again in what was rendered."""

    def __init__(self, special: SpecialTexts, untrusted: JsonValue) -> None:
        self._special = special
        used = {mask for text in _texts_in(untrusted) for mask in _PRIVATE_USE.findall(text)}
        self._free = (mask for mask in map(chr, _MASKS) if mask not in used)
        self._masks: dict[str, str] = {}
        self._signs = {ord(sign): self._mask(sign) for sign in sorted(special.signs)}

    def escape(self, value: JsonObject) -> JsonObject:
        """The object with every text in it disguised, keys included."""
        return {self._escape_text(key): self._escape_value(item) for key, item in value.items()}

    def unescape(self, rendered: str) -> str:
        """A rendered text as it would be without the disguise."""
        return rendered.translate({ord(mask): c for c, mask in self._masks.items()})

    def to_prompt(self, rendered: str, generation_prompt: str = "") -> SegmentedPrompt:
        """A rendered text, cut wherever untrusted text is part of a special token's text.

        ``opening`` comes behind it, and begins the assistant's turn.
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
                # Right beside an untrusted character, so that no token the template wrote is cut.
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
        return text.translate(self._signs)

    def _mask(self, character: str) -> str:
        if character in self._masks:
            return self._masks[character]
        mask = next(self._free, None)
        if mask is None:
            raise InvalidRequestError(
                "the messages use every private-use character of Unicode", param="messages"
            )
        self._masks[character] = mask
        return mask


def _signs(text: str) -> list[str]:
    """The ends of a special text that are neither letters nor blanks, else any such character."""
    ends, inner = (text[0], text[-1]), text[1:-1]
    return [c for c in ends if _is_sign(c)] or [c for c in inner if _is_sign(c)]


def _is_sign(character: str) -> bool:
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
