"""``Family`` adapts the dialect that template analysis finds to one model family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from kronk_agent.chat.dialects.analysis import analyse
from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.formats.call_format import DelimiterPair
from kronk_agent.chat.dialects.formats.json_calls import JsonCalls
from kronk_agent.chat.dialects.formats.tagged_calls import TaggedCalls
from kronk_agent.chat.dialects.parsing.turn import TurnFormat
from kronk_agent.chat.dialects.template_dialect import TemplateDialect
from kronk_agent.chat.dialects.verification import matches_template
from kronk_agent.chat.templates.chat_template import ChatTemplate

GENERIC: Final = JsonCalls(
    trigger='{"tool_call":',
    before_name='{"tool_call": {"name": "',
    before_arguments='", "arguments": ',
    after_arguments="}}",
    separator="\n",
)
"""Our own call format, for models without one, or with one that analysis does not understand."""
_THINK: Final = DelimiterPair("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class AnalysedTemplate:
    """A chat template and its turn format; the template is analysed when ``format`` is first read.

    Args:
        template: the model's own.
        special_tokens: the vocabulary's special tokens by text.
    """

    template: ChatTemplate
    special_tokens: Mapping[str, int]

    @property
    def source(self) -> str:
        """The template's Jinja."""
        return self.template.source

    @property
    def format(self) -> TurnFormat:
        """The turn format found by analysis; ``calls`` is None if no call format was found."""
        return _corrected(_analysed(self.template), self.source)

    def dialect(self, format: TurnFormat) -> Dialect:
        """Return the template's dialect with this turn format, or the generic call format."""
        if format.calls is None:
            return TemplateDialect(
                format=replace(format, name="generic", calls=GENERIC),
                special_tokens=self.special_tokens,
                shows_tools=False,
                writes_calls=False,
            )
        return TemplateDialect(
            format=format,
            special_tokens=self.special_tokens,
            shows_tools=self.template.shows_tools,
            writes_calls=_analysed(self.template).calls is not None or self.template.shows_calls,
            takes_many_calls=self.template.capabilities.has_many_calls,
        )


@dataclass(frozen=True, slots=True)
class Family:
    """A model family whose turns template analysis alone does not understand.

    Args:
        matches: True if a template belongs to the family.
        adapt: makes the dialect of a template that matches.
    """

    matches: Callable[[AnalysedTemplate], bool]
    adapt: Callable[[AnalysedTemplate], Dialect]


@lru_cache(maxsize=32)
def _analysed(template: ChatTemplate) -> TurnFormat:
    """Analyse a template; without calls if it does not write them as analysis found."""
    found = analyse(template.render_values, template.capabilities) or TurnFormat(name="template")
    if found.calls is None or matches_template(
        found, template.render_values, template.capabilities
    ):
        return found
    return TurnFormat(
        name="template",
        header=found.header,
        end=found.end,
        reasoning=found.reasoning,
        content=found.content,
    )


def _corrected(format: TurnFormat, source: str) -> TurnFormat:
    """Add what a template's source shows and its rendered samples do not."""
    if format.reasoning is None and "<think>" in source and "</think>" in source:
        format = replace(format, reasoning=_THINK)
    if format.reasoning is not None and format.reasoning.begin == "[THINK]":
        # Ministral 3 and Magistral think about calls without making them.
        format = replace(format, call_ends_reasoning=False)
    if isinstance(format.calls, TaggedCalls) and format.calls.arguments and "CDATA" in source:
        arguments = replace(format.calls.arguments, has_cdata=True)
        format = replace(format, calls=replace(format.calls, arguments=arguments))
    return format
