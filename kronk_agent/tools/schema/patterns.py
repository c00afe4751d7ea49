"""Regular expressions of JSON Schema, in the dialect of JavaScript (ECMA-262)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

import regex

_TIMEOUT_SECONDS = 0.5
"""Limit of one search: an untrusted pattern may backtrack endlessly."""

_MAX_PATTERN_CHARS: Final = 20_000
"""Maximum length of a pattern."""

_ECMA_ONLY = re.compile(
    r"""
    \\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})
  | \\u\{(?P<code_point>[0-9a-fA-F]{1,6})\}
  | \\c(?P<control>[A-Za-z])
  | \\k<(?P<group>\w+)>
  | (?P<escaped>\\.)
  | (?P<anything>\[\^\])
  | (?P<nothing>\[\])
  | (?P<opening>\[)
  | (?P<closing>\])
  | (?P<end>\$)
    """,
    re.VERBOSE | re.DOTALL,
)


def check_pattern(pattern: str) -> str:
    """Return why a pattern cannot be used; empty if it can."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        return f"the pattern has {len(pattern)} characters, the maximum is {_MAX_PATTERN_CHARS}"
    try:
        _compiled(pattern)
    except RecursionError:
        return "the pattern is nested too deeply"
    except (regex.error, OverflowError, ValueError) as error:
        return f"the pattern {pattern[:60]!r} is invalid: {error}"
    return ""


def for_grammar(pattern: str) -> str:
    """Translate the pattern to Rust's ``regex-syntax``, which grammars are compiled from.

    Unsupported features, such as lookahead and backreferences, are kept as they are.
    """
    return _translated(pattern, _RUST)


def search(pattern: str, text: str) -> bool:
    """True if the pattern matches anywhere in the text.

    Raises:
        regex.error: the pattern cannot be compiled.
        TimeoutError: the search takes too long.
    """
    return _compiled(pattern).search(text, timeout=_TIMEOUT_SECONDS) is not None


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(_translated(pattern, _REGEX))


@dataclass(frozen=True, slots=True)
class _Engine:
    """Syntax in which a regular expression engine differs from JavaScript."""

    end: str
    """Matches the end of the text."""
    nothing: str
    """Matches nothing."""
    group: str
    """A backreference to a named group."""


_REGEX: Final = _Engine(end=r"\Z", nothing="(?!)", group="(?P={name})")
"""The ``regex`` module, whose ``$`` would also match before a trailing newline."""
_RUST: Final = _Engine(end="$", nothing=r"[^\s\S]", group=r"\k<{name}>")
"""Rust's ``regex-syntax``."""


def _translated(pattern: str, engine: _Engine) -> str:
    is_in_class = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal is_in_class
        match match.lastgroup:
            case "low":
                pair = bytes.fromhex(match["high"] + match["low"])
                return regex.escape(pair.decode("utf-16-be"))
            case "code_point":
                return regex.escape(chr(int(match["code_point"], 16)))
            case "control":
                return f"\\x{ord(match['control']) % 32:02x}"
            case "group":
                return engine.group.format(name=match["group"])
            case "anything" if not is_in_class:
                return r"[\s\S]"
            case "nothing" if not is_in_class:
                return engine.nothing
            case "opening" if is_in_class:
                return r"\["  # other engines would start a nested class
            case "opening":
                is_in_class = True
            case "closing" | "nothing":
                is_in_class = False
            case "end" if not is_in_class:
                return engine.end
        return match[0]

    return _ECMA_ONLY.sub(replacement, pattern)
