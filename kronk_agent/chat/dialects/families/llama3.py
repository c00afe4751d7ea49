"""Llama 3: JSON calls, sometimes after ``<|python_tag|>``, which the template does not render."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.json_calls import JsonCalls


def _matches(template: AnalysedTemplate) -> bool:
    return "<|python_tag|>" in template.source and isinstance(template.format.calls, JsonCalls)


def _adapt(template: AnalysedTemplate) -> Dialect:
    calls = template.format.calls
    assert isinstance(calls, JsonCalls)
    calls = replace(calls, other_triggers=("<|python_tag|>",))
    return template.dialect(replace(template.format, calls=calls))


FAMILY: Final = Family(_matches, _adapt)
