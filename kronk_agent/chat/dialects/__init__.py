"""How families of models write tool calls and thinking."""

from __future__ import annotations

from collections.abc import Mapping

from kronk_agent.chat.dialects.call_format import GENERIC, HERMES, THINK, CallFormat
from kronk_agent.chat.dialects.dialect import Dialect, Parser, Turn
from kronk_agent.chat.dialects.tagged_json import TaggedJson
from kronk_agent.chat.template import SAMPLE_CALL, ChatTemplate

__all__ = ["Dialect", "Parser", "Turn", "dialect_for"]

_NATIVE = {"hermes": HERMES}


def dialect_for(template: ChatTemplate, special_tokens: Mapping[str, int]) -> Dialect:
    """The dialect of a template: the one in which it writes a sample call, else our generic one.

    Args:
        template: the model's own.
        special_tokens: the vocabulary's special tokens by text.
    """
    name, format = next(
        (item for item in _NATIVE.items() if _writes(template, item[1])), ("generic", GENERIC)
    )
    has_thinking = THINK.begin in template.source and THINK.end in template.source
    return TaggedJson(
        name=name,
        format=format,
        thinking=THINK if has_thinking else None,
        is_native=name in _NATIVE,
        special_tokens=special_tokens,
    )


def _writes(template: ChatTemplate, format: CallFormat) -> bool:
    if not template.supports_tools:
        return False
    written = template.render_sample_call()
    return _without_blanks(format.write([SAMPLE_CALL])) in _without_blanks(written)


def _without_blanks(text: str) -> str:
    return "".join(text.split())
