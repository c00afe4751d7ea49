"""The grammar of a turn with tools, in llguidance's Lark.

Arguments follow each tool's schema, names are an enumeration, marks are special tokens where the
vocabulary has them and plain text where it has not. (llguidance's docs/syntax.md is the reference.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kronk_agent.chat.dialects.call_format import CallFormat, ThinkingTags
from kronk_agent.chat.dialects.schema import enforced_schema
from kronk_agent.tool import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRules:
    """What a turn may consist of."""

    tools: Sequence[Tool]
    """What may be called; nothing leaves only text, in which no call can begin."""
    must_call: bool
    """Calls and nothing else; otherwise any text and then, perhaps, calls. Text alone is never
    blank: a turn that says nothing answers nobody."""
    max_calls: int
    thinking: ThinkingTags | None = None
    """Marks of the thinking the turn may begin with."""
    is_thinking_open: bool = False
    """The prompt has begun the thinking: it must end before anything else."""


def write_grammar(format: CallFormat, rules: TurnRules, special_tokens: Mapping[str, int]) -> str:
    """A Lark grammar for the turn; ``special_tokens`` are the vocabulary's ids by text."""
    thinking = rules.thinking
    not_thinking = f" & ~( {_quoted(thinking.begin)} ANY )" if thinking else ""
    lines = [
        "%llguidance {}",
        f"start: {_thinking(rules, special_tokens)} {_start(format, rules, special_tokens)}",
        "ANY: /(?s:.*)/",
        f"TEXT: ANY & ~( ANY {_quoted(format.trigger)} ANY ){not_thinking}",
        r"ANSWER: TEXT & /(?s:\s{0,8}\S.*)/",
    ]
    if rules.tools:
        lines += _calls(format, rules, special_tokens)
    if thinking:
        lines += [
            f"THOUGHT: ANY & ~( ANY {_quoted(thinking.end)} ANY )",
            _up_to("thought_and_end", "THOUGHT", thinking.end, special_tokens),
            "BLANK: /\\n{1,2}/",
        ]
    return "\n".join(lines) + "\n"


def _start(format: CallFormat, rules: TurnRules, special_tokens: Mapping[str, int]) -> str:
    """What comes after the thinking."""
    if not rules.tools:
        return "ANSWER"
    if rules.must_call:
        return f"{_exactly(format.begin, special_tokens)} calls"
    after_trigger = _exactly(format.begin.removeprefix(format.trigger), special_tokens)
    return f"( ANSWER | text_and_trigger {after_trigger} calls )"


def _calls(
    format: CallFormat, rules: TurnRules, special_tokens: Mapping[str, int]
) -> Iterator[str]:
    def exactly(text: str) -> str:
        return _exactly(text, special_tokens)

    yield _up_to("text_and_trigger", "TEXT", format.trigger, special_tokens)
    more = _more(rules, exactly(format.next_begin))
    yield f"calls: call {more} {exactly(format.section_end)}"
    yield "call: " + " | ".join(f"call_{i}" for i in range(len(rules.tools)))
    for i, tool in enumerate(rules.tools):
        schema = json.dumps(enforced_schema(tool), ensure_ascii=False)
        name = exactly(tool.name + format.arguments_begin)
        yield f"call_{i}: {name} %json {schema} {exactly(format.call_end)}"


def _more(rules: TurnRules, next_begin: str) -> str:
    return f"( {next_begin} call ){{0,{rules.max_calls - 1}}}" if rules.max_calls > 1 else ""


def _thinking(rules: TurnRules, special_tokens: Mapping[str, int]) -> str:
    if rules.thinking is None:
        return ""
    # Where text may follow, blanks are part of the text.
    thought = "thought_and_end BLANK?" if rules.must_call else "thought_and_end"
    if rules.is_thinking_open:
        return thought
    return f"( {_exactly(rules.thinking.begin, special_tokens)} {thought} )?"


def _exactly(text: str, special_tokens: Mapping[str, int]) -> str:
    """Just this text, with the special tokens in it as tokens. Empty text is no expression."""
    present = sorted((mark for mark in special_tokens if mark in text), key=len, reverse=True)
    if not present:
        return _quoted(text)
    parts = re.split("(" + "|".join(map(re.escape, present)) + ")", text)
    return " ".join(
        f"<[{special_tokens[part]}]>" if part in special_tokens else _quoted(part)
        for part in parts
        if part
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""


def _up_to(rule: str, before: str, mark: str, special_tokens: Mapping[str, int]) -> str:
    """A rule for what comes before a mark, and the mark."""
    if mark in special_tokens:
        return f"{rule}: {before} <[{special_tokens[mark]}]>"
    return f"{rule}[lazy]: {before} {_quoted(mark)}"
