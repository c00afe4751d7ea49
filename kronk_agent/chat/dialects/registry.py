"""Which dialect a template is of: a table of formats with code of their own, then analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from kronk_agent.chat.dialects.analysis import analyse
from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families import gemma4, minimax_m3
from kronk_agent.chat.dialects.families.functionary import FunctionaryDialect, is_functionary
from kronk_agent.chat.dialects.families.harmony import HarmonyDialect, is_harmony
from kronk_agent.chat.dialects.families.kimi_k3 import KIMI_K3, is_kimi_k3
from kronk_agent.chat.dialects.formats.call_format import Enclosure
from kronk_agent.chat.dialects.formats.json_calls import JsonCalls
from kronk_agent.chat.dialects.formats.pythonic import PythonCalls
from kronk_agent.chat.dialects.formats.tagged_calls import TaggedCalls
from kronk_agent.chat.dialects.parsing.turn import TurnFormat
from kronk_agent.chat.dialects.template_dialect import TemplateDialect
from kronk_agent.chat.dialects.verification import writes_so
from kronk_agent.chat.templates.chat_template import ChatTemplate

HERMES: Final = JsonCalls(
    trigger="<tool_call>",
    before_name='<tool_call>\n{"name": "',
    before_arguments='", "arguments": ',
    after_arguments="}\n</tool_call>",
    separator="\n",
)
"""NousResearch Hermes 2 Pro and 3: as their chat templates write it. Others only describe it."""
GENERIC: Final = JsonCalls(
    trigger='{"tool_call":',
    before_name='{"tool_call": {"name": "',
    before_arguments='", "arguments": ',
    after_arguments="}}",
    separator="\n",
)
"""Ours, for models that have no format of their own or one we do not know."""
_LFM2: Final = PythonCalls("<|tool_call_start|>", "<|tool_call_end|>")
_LLAMA4: Final = PythonCalls("", "", "<|python_start|>", "<|python_end|>")
_THINK: Final = Enclosure("<think>", "</think>")


def dialect_for(template: ChatTemplate, special_tokens: Mapping[str, int]) -> Dialect:
    """The dialect of a template's model; our generic one if it has none.

    Args:
        template: the model's own.
        special_tokens: the vocabulary's special tokens by text.
    """
    source = template.source
    if is_harmony(source):
        return HarmonyDialect(special_tokens=special_tokens)
    if is_functionary(source):
        return FunctionaryDialect(special_tokens=special_tokens)
    format = _format(template)
    writes_calls = format.calls is not None or template.shows_calls
    format = _adapted(format, source)
    if format.calls is None:
        format = replace(format, name="generic", calls=GENERIC)
        return TemplateDialect(
            format=format, special_tokens=special_tokens, shows_tools=False, writes_calls=False
        )
    return TemplateDialect(
        format=format,
        special_tokens=special_tokens,
        shows_tools=template.shows_tools,
        writes_calls=writes_calls,
        takes_many_calls=template.shape.has_many_calls,
    )


@lru_cache(maxsize=32)
def _format(template: ChatTemplate) -> TurnFormat:
    found = analyse(template.render_values, template.shape) or TurnFormat(name="template")
    if found.calls is None or writes_so(found, template.render_values, template.shape):
        return found
    return TurnFormat(
        name="template",
        opening=found.opening,
        end=found.end,
        reasoning=found.reasoning,
        content=found.content,
    )


def _adapted(format: TurnFormat, source: str) -> TurnFormat:
    """What analysis has found, with what a family does differently."""
    if is_kimi_k3(source):
        return KIMI_K3
    if gemma4.is_gemma4(source):
        return gemma4.adapt(format)
    if minimax_m3.is_minimax_m3(source):
        return minimax_m3.adapt(format)
    if format.reasoning is None and "<think>" in source and "</think>" in source:
        format = replace(format, reasoning=_THINK)
    if format.reasoning is not None and format.reasoning.begin == "[THINK]":
        # Ministral 3 and Magistral think about calls without making them.
        format = replace(format, call_ends_reasoning=False)
    if "<|python_start|>" in source:
        return replace(format, name="llama4", calls=_LLAMA4)
    if isinstance(format.calls, JsonCalls) and "<|python_tag|>" in source:
        return replace(format, calls=replace(format.calls, other_triggers=("<|python_tag|>",)))
    if format.calls is None and "List of tools: " in source:
        return replace(format, name="lfm2", calls=_LFM2)
    if format.calls is None and "<tool_call>" in source and '"arguments"' in source:
        return replace(format, name="hermes", calls=HERMES)
    if isinstance(format.calls, TaggedCalls) and format.calls.arguments and "CDATA" in source:
        arguments = replace(format.calls.arguments, has_cdata=True)
        return replace(format, calls=replace(format.calls, arguments=arguments))
    return format
