"""LFM2 and LFM2.5: Python calls, which their templates do not render.

Source: Liquid AI's documentation of tool use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.pythonic import PythonCalls

_CALLS: Final = PythonCalls("<|tool_call_start|>", "<|tool_call_end|>")


def _matches(template: AnalysedTemplate) -> bool:
    return "List of tools: " in template.source and template.format.calls is None


def _adapt(template: AnalysedTemplate) -> Dialect:
    return template.dialect(replace(template.format, name="lfm2", calls=_CALLS))


FAMILY: Final = Family(_matches, _adapt)
