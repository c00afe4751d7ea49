"""Kimi K3: elements between ``<|open|>NAME<|sep|>`` and ``<|close|>NAME<|sep|>``.

Source: the chat template published with moonshotai/Kimi-K3. A turn consists of the elements
``think``, ``response`` and ``tools`` in this order; each argument names the type of its value.
"""

from __future__ import annotations

from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.arguments import ArgumentDelimiters
from kronk_agent.chat.dialects.formats.call_format import INDEX, DelimiterPair
from kronk_agent.chat.dialects.formats.tagged_calls import TaggedCalls
from kronk_agent.chat.dialects.parsing.turn import TurnFormat

_TYPES: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
    "array": "array",
    "object": "object",
}


def _element(name: str) -> DelimiterPair:
    return DelimiterPair(f"<|open|>{name}<|sep|>", f"<|close|>{name}<|sep|>")


_FORMAT: Final = TurnFormat(
    name="kimi-k3",
    header='<|open|>message role="assistant"<|sep|>',
    end="<|close|>message<|sep|>",
    reasoning=_element("think"),
    content=_element("response"),
    calls=TaggedCalls(
        trigger="<|open|>tools<|sep|>",
        section_begin="<|open|>tools<|sep|>",
        before_name='<|open|>call tool="',
        before_arguments=f'" index="{INDEX}"<|sep|>',
        arguments=ArgumentDelimiters(
            key_begin='<|open|>argument key="',
            value_begin={kind: f'" type="{type}"<|sep|>' for kind, type in _TYPES.items()},
            value_end="<|close|>argument<|sep|>",
        ),
        after_arguments="<|close|>call<|sep|>",
        section_end="<|close|>tools<|sep|>",
        first_index=1,
    ),
)


def _matches(template: AnalysedTemplate) -> bool:
    return all(text in template.source for text in ("<|open|>", "<|close|>", "<|end_of_msg|>"))


def _adapt(template: AnalysedTemplate) -> Dialect:
    return template.dialect(_FORMAT)


FAMILY: Final = Family(_matches, _adapt)
