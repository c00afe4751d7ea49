"""Llama 4: Python calls, between ``<|python_start|>`` and ``<|python_end|>`` or bare.

Source: Meta's prompt format of Llama 4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.pythonic import PythonCalls

_CALLS: Final = PythonCalls("", "", "<|python_start|>", "<|python_end|>")


def _matches(template: AnalysedTemplate) -> bool:
    return "<|python_start|>" in template.source


def _adapt(template: AnalysedTemplate) -> Dialect:
    return template.dialect(replace(template.format, name="llama4", calls=_CALLS))


FAMILY: Final = Family(_matches, _adapt)
