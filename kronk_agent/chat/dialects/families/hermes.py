"""Hermes 2 Pro and 3, and other models whose templates describe the same call format."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.json_calls import JsonCalls

HERMES: Final = JsonCalls(
    trigger="<tool_call>",
    before_name='<tool_call>\n{"name": "',
    before_arguments='", "arguments": ',
    after_arguments="}\n</tool_call>",
    separator="\n",
)
"""The call format of NousResearch Hermes 2 Pro and 3, as their chat templates write it."""


def _matches(template: AnalysedTemplate) -> bool:
    source = template.source
    is_described = "<tool_call>" in source and '"arguments"' in source
    return is_described and template.format.calls is None


def _adapt(template: AnalysedTemplate) -> Dialect:
    return template.dialect(replace(template.format, name="hermes", calls=HERMES))


FAMILY: Final = Family(_matches, _adapt)
