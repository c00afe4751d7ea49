"""Finds the values in a call's arguments and compares each kind of value with a glob."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal, TypeAlias

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.policy.addresses import (
    PARTS,
    AddressPattern,
    is_address,
    is_web_address,
    is_web_pattern,
    loose_readings,
    readings,
)
from kronk_agent.tools.policy.globs import matches
from kronk_agent.tools.policy.paths import MAX_PATH_CHARS, is_path_pattern, matches_file

Kind: TypeAlias = Literal["text", "url", "path"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_URL_WORDS = "url urls uri uris href link links"
_PATH_WORDS = (
    "path paths file files filename filenames filepath dir dirs directory directories folder "
    "folders cwd source destination"
)
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(_URL_WORDS.split(), "url"),
    **dict.fromkeys(_PATH_WORDS.split(), "path"),
}
"""The kind of an argument's values by the last word of its name."""
_URL_FORMATS = ("uri", "uri-reference", "iri", "iri-reference", "url")


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a call's arguments."""

    value: JsonValue
    kind: Kind = "text"
    part: str | None = None
    """The component of the URL that a rule names; None for the whole value."""

    def matches(self, glob: str, folders: Sequence[Path], *, is_exact: bool) -> bool:
        """True if the glob matches.

        Args:
            glob: the pattern; ``*`` is a wildcard.
            folders: base directories of relative paths.
            is_exact: all interpretations of the value must match; otherwise one is enough.
        """
        match self.value:
            case str(text):
                text, glob = _encodable(text), _encodable(glob)
                if self.part is not None:
                    return _matches_part(text, self.part, glob, is_exact=is_exact)
                return glob == "*" or self._matches_text(text, glob, folders, is_exact=is_exact)
            case bool() | None | dict() | list():
                text = json.dumps(self.value, ensure_ascii=False)
                return matches(text, glob, is_exact=is_exact)
            case number:
                return _matches_number(number, glob)

    def _matches_text(
        self, text: str, glob: str, folders: Sequence[Path], *, is_exact: bool
    ) -> bool:
        if is_exact:
            return self._matches_exactly(text, glob, folders)
        return (
            matches(text, glob, is_exact=False)
            or (self._may_be_url(glob) and _matches_any_url(text, glob))
            or _matches_any_spelling(text, glob)
            or (self._may_be_path(glob) and self._matches_any_file(text, glob, folders))
        )

    def _matches_exactly(self, text: str, glob: str, folders: Sequence[Path]) -> bool:
        has_own_scheme = "://" in glob and not is_web_pattern(glob)
        if has_own_scheme or (is_address(text) and not is_web_address(text)):
            spellings = [spelling for each in readings(text) for spelling in each.spellings]
            return all(matches(each, glob, is_exact=True) for each in (text, *spellings))
        if is_web_address(text) or self._may_be_url(glob):
            return _matches_all_urls(text, glob)
        if self._may_be_path(glob):
            return len(text) <= MAX_PATH_CHARS and matches_file(text, glob, folders, is_exact=True)
        return matches(text, glob, is_exact=True)

    def _matches_any_file(self, text: str, glob: str, folders: Sequence[Path]) -> bool:
        """Also true for a path that is too long to be valid, which a server may truncate."""
        if len(text) > MAX_PATH_CHARS:
            return self.kind == "path" or is_path_pattern(glob)
        return matches_file(text, glob, folders, is_exact=False)

    def _may_be_url(self, glob: str) -> bool:
        return self.kind == "url" or "://" in glob

    def _may_be_path(self, glob: str) -> bool:
        is_path = self.kind == "path" or is_path_pattern(glob)
        return "://" not in glob and (is_path or "/" in glob)


def values_at(arguments: JsonObject, name: str, schema: JsonObject) -> list[Value]:
    """Return the values of an argument; lists are expanded.

    ``name`` is an argument, a nested one separated by dots, or a component of a URL after a dot. If
    a name itself contains dots, all interpretations are included.
    """
    return list(_values(arguments, unicodedata.normalize("NFC", name).split("."), schema, "text"))


def _values(value: JsonValue, names: list[str], schema: JsonValue, kind: Kind) -> Iterator[Value]:
    if isinstance(value, list):
        for item in value:
            yield from _values(item, names, _below(schema, "items"), kind)
        return
    if not names:
        yield Value(value, "url" if _is_url_schema(schema) else kind)
    elif isinstance(value, dict):
        for key, item in value.items():
            steps = unicodedata.normalize("NFC", key).split(".")
            if names[: len(steps)] == steps:
                below = _below(_below(schema, "properties"), key)
                yield from _values(item, names[len(steps) :], below, _kind_of(key))
    elif isinstance(value, str) and names[0] in PARTS and len(names) == 1:
        yield Value(value, "url", part=names[0])


def _below(schema: JsonValue, key: str) -> JsonValue:
    return schema.get(key) if isinstance(schema, dict) else None


def _kind_of(name: str) -> Kind:
    words = _WORD.findall(name)
    return _KINDS.get(words[-1].lower(), "text") if words else "text"


def _is_url_schema(schema: JsonValue) -> bool:
    return isinstance(schema, dict) and schema.get("format") in _URL_FORMATS


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON can contain."""
    return text.encode("utf-8", "replace").decode()


def _matches_number(value: float, glob: str) -> bool:
    """Compare as numbers if the glob is one: 1 equals 1.0."""
    try:
        if Decimal(glob.strip()) == Decimal(repr(value)):
            return True
    except InvalidOperation:
        pass
    is_whole = isinstance(value, float) and value.is_integer()
    return matches(json.dumps(int(value) if is_whole else value), glob, is_exact=False)


def _matches_part(text: str, part: str, glob: str, *, is_exact: bool) -> bool:
    pattern = AddressPattern.of_part(part, glob)
    if is_exact:
        found = readings(text)
        return bool(found) and all(pattern.matches(each, is_exact=True) for each in found)
    found = loose_readings(text)
    return not found or any(pattern.matches(each, is_exact=False) for each in found)


def _matches_all_urls(text: str, glob: str) -> bool:
    pattern = AddressPattern.parse(glob, is_exact=True)
    found = loose_readings(text)
    is_relative = text.removeprefix("//").startswith(("/", "\\"))
    return (
        pattern is not None
        and not is_relative
        and bool(found)
        and all(pattern.matches(address, is_exact=True) for address in found)
    )


def _matches_any_url(text: str, glob: str) -> bool:
    """Also true if the URL cannot be interpreted."""
    found = loose_readings(text)
    pattern = AddressPattern.parse(glob, is_exact=False)
    if pattern is None:
        return False
    return not found or any(pattern.matches(address, is_exact=False) for address in found)


def _matches_any_spelling(text: str, glob: str) -> bool:
    return is_address(text) and any(
        matches(spelling, glob, is_exact=False)
        for address in readings(text)
        for spelling in address.spellings
    )
