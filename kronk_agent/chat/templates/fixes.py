"""Corrections of known mistakes in published chat templates."""

from __future__ import annotations

from typing import Final

_CORRECTIONS: Final = (
    # Qwen2.5-Coder 1.5B and others: braces doubled for Python's str.format stayed in the template,
    # so it tells the model to write calls that are not JSON.
    (
        r"{{\"name\": <function-name>, \"arguments\": <args-json-object>}}",
        r"{\"name\": <function-name>, \"arguments\": <args-json-object>}",
    ),
)
"""Texts in a template's source and their replacements."""


def corrected(source: str) -> str:
    """Return a template's source with its known mistakes corrected."""
    for wrong, right in _CORRECTIONS:
        source = source.replace(wrong, right)
    return source
