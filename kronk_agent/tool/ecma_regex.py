"""The regular expressions of JSON Schema, which are those of JavaScript (ECMA-262)."""

from __future__ import annotations

import functools
import re

import regex

_TIMEOUT_SECONDS = 0.5
"""One search at most: a pattern from outside may backtrack for ever."""

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


def search(pattern: str, text: str) -> bool:
    """True if the pattern matches somewhere in the text.

    Raises:
        regex.error: the pattern cannot be compiled.
        TimeoutError: the search takes too long.
    """
    return _compiled(pattern).search(text, timeout=_TIMEOUT_SECONDS) is not None


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(_translated(pattern))


def _translated(pattern: str) -> str:
    """The pattern as the ``regex`` module writes it, which knows ``\\p{L}`` and ``(?<name>…)``."""
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
                return f"(?P={match['group']})"
            case "anything" if not is_in_class:
                return r"[\s\S]"
            case "nothing" if not is_in_class:
                return "(?!)"
            case "opening":
                is_in_class = True
            case "closing" | "nothing":
                is_in_class = False
            case "end" if not is_in_class:
                return r"\Z"  # `$` would also match before a last newline
        return match[0]

    return _ECMA_ONLY.sub(replacement, pattern)
