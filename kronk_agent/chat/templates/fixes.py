"""Corrects known mistakes in chat templates as they are published."""

from __future__ import annotations

from typing import Final

_CORRECTIONS: Final = (
    # Qwen2.5-Coder 1.5B and others: braces doubled for Python's str.format stayed in the template,
    # so that it tells the model to write calls which are not JSON.
    (
        r"{{\"name\": <function-name>, \"arguments\": <args-json-object>}}",
        r"{\"name\": <function-name>, \"arguments\": <args-json-object>}",
    ),
)
"""Texts in the source of a template, and what replaces each."""


def corrected(source: str) -> str:
    """The source of a template without its known mistakes."""
    for wrong, right in _CORRECTIONS:
        source = source.replace(wrong, right)
    return source
