"""Published chat templates with delimiters renamed and blanks moved, as no model has them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

_MARK = re.compile(r"</?[a-z_|]{4,40}>|\[/?[A-Z_]{4,30}\]")
_KEPT = ("im_start", "im_end", "think", "start_header_id", "end_header_id")
"""Delimiters that our own code knows, or that start turns."""


def change(seed: int, files: Sequence[Path]) -> tuple[str, str]:
    """A template with one to three changes, and their description for failure messages."""
    choice = random.Random(seed)
    file = choice.choice(files)
    source = file.read_text(encoding="utf-8")
    done = [file.stem]
    for _ in range(choice.randint(1, 3)):
        change = choice.choice([_rename_mark, _join_lines, _add_lines, _close_up_json])
        source = change(source, choice)
        done.append(change.__name__.strip("_"))
    return source, ", ".join(done)


def _rename_mark(source: str, choice: random.Random) -> str:
    words = sorted({mark.strip("</>[]|") for mark in _MARK.findall(source)} - {*_KEPT})
    if not words:
        return source
    word = choice.choice(words)
    new = "".join(choice.choice("bcdfghjk") for _ in range(6))
    new = new.upper() if word.isupper() else new
    return re.sub(rf"(?<=[<\[/|]){re.escape(word)}(?=[>\]|])", new, source)


def _join_lines(source: str, choice: random.Random) -> str:
    """No line breaks before tags."""
    return re.sub(r"(['\"])\\n(<[a-z_]+>)", r"\1\2", source)


def _add_lines(source: str, choice: random.Random) -> str:
    """Two line breaks behind tags."""
    return re.sub(r"(<[a-z_]{4,}>)\\n", r"\1\\n\\n", source)


def _close_up_json(source: str, choice: random.Random) -> str:
    """No blanks behind the colons of a call's members."""
    return source.replace('"name": ', '"name":').replace('"arguments": ', '"arguments":')
