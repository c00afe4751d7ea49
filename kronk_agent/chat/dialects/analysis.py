"""Find a template's turn format by rendering conversations that differ in one detail.

Every name, key, value, thought and text in the sample conversations is a word that no template
contains. The text between two of them is a delimiter; if one text is two delimiters (the end of a
call and the start of the next), a second rendering separates them. The idea of differential
analysis is llama.cpp's (docs/autoparser.md in its repository).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kronk_agent.chat.dialects.formats.arguments import ArgumentDelimiters
from kronk_agent.chat.dialects.formats.call_format import ID, INDEX, CallFormat, DelimiterPair
from kronk_agent.chat.dialects.formats.json_calls import JsonCalls
from kronk_agent.chat.dialects.formats.tagged_calls import TaggedCalls
from kronk_agent.chat.dialects.parsing.turn import TurnFormat
from kronk_agent.chat.dialects.samples import Samples, atoms, common_prefix
from kronk_agent.chat.templates.capabilities import RenderValues
from kronk_agent.chat.templates.conversation import TemplateCapabilities
from kronk_agent.messages import JsonObject, JsonValue, Message, TextPart, ToolCall
from kronk_agent.tools import Tool, ToolContext, ToolOutput

_TAG: Final = re.compile(r"\s*(<[^<>=\"]{1,60}>|\[/?[A-Z_]{2,30}\]|<[^<>=\"]{1,60}?(?=\s\w+=\"))")
_ENUM_KINDS: Final[dict[str, JsonValue]] = {
    "string": "valueone",
    "integer": 48151,
    "number": 48.25,
    "boolean": True,
    "null": None,
    "array": ["valueone"],
    "object": {"valueone": 48151},
}


def analyse(render: RenderValues, capabilities: TemplateCapabilities) -> TurnFormat | None:
    """Find how a template writes turns; None if it does not render assistant messages.

    If it renders no calls, or in a format that is not understood, ``calls`` is None.
    """
    samples = Samples(render, capabilities, _TOOLS)
    answer = samples.turn(_answer())
    if answer is None or _TEXT not in answer:
        return None
    header = samples.header
    before, _, after = answer.partition(_TEXT)
    format = TurnFormat(name="template", header=header, reasoning=_reasoning(samples, before))
    format = replace(format, content=_content(samples, format, before, after))
    if format.content is not None and format.reasoning is not None:
        thought_end = format.reasoning.end.removesuffix(format.content.begin)
        format = replace(format, reasoning=DelimiterPair(format.reasoning.begin, thought_end))
    if format.content is not None:
        after = after.removeprefix(format.content.end)
    format = replace(format, end=_first_delimiter(after))
    calls = _CallAnalysis(samples, format)
    found = calls.find()
    return replace(
        format,
        name=_name(found),
        calls=found,
        before_calls=calls.before_calls,
        blanks_around_calls=calls.blanks_around,
    )


def _name(calls: CallFormat | None) -> str:
    match calls:
        case JsonCalls():
            return "native-json"
        case TaggedCalls(arguments=None):
            return "tagged-json"
        case TaggedCalls():
            return "tagged-arguments"
        case _:
            return "text"


# --- sample conversations ---------------------------------------------------------------------

_TEXT: Final = "answerword"
_THOUGHT: Final = "thoughtword"
_NAMES: Final = ("nameone", "nametwo")
_KEYS: Final = ("keyone", "keytwo")
_VALUES: Final = ("valueone", "valuetwo")
_IDS: Final = ("idnumber1", "idnumber2")


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError


_TOOLS = tuple(
    Tool(
        name=name,
        description="A sample.",
        parameters={
            "type": "object",
            "properties": {key: {"type": "string", "description": "A key."} for key in _KEYS},
        },
        call=_never_called,
    )
    for name in _NAMES
)


def _call(number: int, arguments: JsonObject) -> ToolCall:
    return ToolCall(_IDS[number], _NAMES[number], json.dumps(arguments))


def _answer(text: str = _TEXT, thought: str = "", calls: Sequence[ToolCall] = ()) -> Message:
    content = (TextPart(text),) if text else ()
    return Message(role="assistant", content=content, reasoning=thought, tool_calls=tuple(calls))


# --- thinking and text ------------------------------------------------------------------------


def _reasoning(samples: Samples, before_text: str) -> DelimiterPair | None:
    """Find the delimiters around thinking."""
    for message in (
        _answer(thought=_THOUGHT),
        _answer("", _THOUGHT, [_call(0, {_KEYS[0]: _VALUES[0]})]),
    ):
        shown = samples.turn(message)
        if shown is None or _THOUGHT not in shown:
            continue
        before, _, after = shown.partition(_THOUGHT)
        end = after.partition(_TEXT)[0] if message.content else _first_delimiter(after)
        if before.strip() and end.strip():
            return DelimiterPair(before, end)
    return _reasoning_of_generation_prompts(samples, before_text)


def _reasoning_of_generation_prompts(samples: Samples, before_text: str) -> DelimiterPair | None:
    """Find delimiters that the template does not render around thinking, but starts a turn with."""
    for text in (before_text, *samples.generation_prompts):
        match = re.search(r"(<(\w+)>\s*)(</\2>\s*)", text)
        if match is not None:
            return DelimiterPair(match.group(1).strip(), match.group(3).strip())
        match = re.search(r"<(think\w*)>\s*\Z", text)
        if match is not None:
            return DelimiterPair(match.group().strip(), f"</{match.group(1)}>")
    return None


def _content(samples: Samples, format: TurnFormat, before: str, after: str) -> DelimiterPair | None:
    """Find the delimiters around text; None if it has none of its own."""
    if format.reasoning is not None:
        before = before.rpartition(format.reasoning.end.strip())[2]
        before = before.rpartition(format.reasoning.begin.strip())[2]
    begin, end = _first_delimiter(before), _first_delimiter(after)
    call = samples.turn(_answer("", calls=[_call(0, {})])) or ""
    if not begin.strip() or not end.strip() or begin.strip() in call:
        return None
    return DelimiterPair(begin, end)


def _first_delimiter(text: str) -> str:
    """Return the tag a text starts with, with blanks around it; a short text is returned whole."""
    match = re.match(r"\s*(<[^<>]{1,60}>|\[/?[A-Z_]+\])\s*", text)
    if match is not None:
        return match.group()
    return text if len(text) <= 20 else ""


# --- calls ------------------------------------------------------------------------------------


class _CallAnalysis:
    """Finds how a template writes calls."""

    def __init__(self, samples: Samples, format: TurnFormat) -> None:
        self.before_calls = ""
        """Text between the answer's text and the calls."""
        self.blanks_around = DelimiterPair("", "")
        """Blanks before and after the calls of a turn without text."""
        self._samples = samples
        self._format = format

    def find(self) -> CallFormat | None:
        """Return the call format; None if the template renders no calls or it is not understood."""
        one = self._written([_call(0, {_KEYS[0]: _VALUES[0], _KEYS[1]: _VALUES[1]})])
        if one is None:
            return None
        two = self._written([_call(0, {_KEYS[0]: _VALUES[0]}), _call(1, {_KEYS[0]: _VALUES[1]})])
        layout = _CallLayout.of(one, two)
        if layout is None:
            return None
        self.before_calls = self._find_before_calls(layout)
        self.blanks_around = _blanks_around(one)
        found = layout.format(self._typed_arguments)
        if isinstance(found, TaggedCalls) and found.arguments and self._has_python_words():
            return replace(found, arguments=replace(found.arguments, has_python_words=True))
        return found

    def _written(self, calls: Sequence[ToolCall], text: str = "") -> str | None:
        """Render calls, without the end of the turn; None if the template drops one."""
        shown = self._samples.turn(_answer(text, calls=calls))
        if shown is None or any(call.name not in shown for call in calls):
            return None
        reasoning = self._format.reasoning
        if reasoning is not None and not text:
            head = shown.partition(_NAMES[0])[0]
            end = reasoning.end.strip()
            if end in head:
                shown = shown[head.rfind(end) + len(end) :]
        for id in _IDS:
            shown = shown.replace(id, ID)
        return self._without_end(shown)

    def _without_end(self, shown: str) -> str:
        """Remove the end of a turn and the text after it."""
        end, header = self._format.end, self._format.header
        start = max((shown.rfind(word) for word in (*_NAMES, *_KEYS, *_VALUES)), default=0)
        next_turn = _TAG.match(header)
        cuts = [end.strip(), next_turn.group().strip() if next_turn else ""]
        found = [at for cut in cuts if cut and (at := shown.find(cut, start)) >= 0]
        if not found:
            return shown
        blanks = end[: len(end) - len(end.lstrip())]
        return shown[: min(found)].removesuffix(blanks)

    def _find_before_calls(self, layout: _CallLayout) -> str:
        call = _call(0, {_KEYS[0]: _VALUES[0], _KEYS[1]: _VALUES[1]})
        shown = self._written([call], _TEXT)
        if shown is None or _TEXT not in shown:
            return ""
        between = shown.rpartition(_TEXT)[2].partition(_NAMES[0])[0]
        opening = (layout.section_begin + layout.before_name).lstrip()
        at = between.find(opening[:8])
        return between[:at] if at >= 0 and between[:at].isspace() else ""

    def _has_python_words(self) -> bool:
        """Return true if true is written as Python writes it."""
        shown = self._written([_call(0, {_KEYS[0]: True, _KEYS[1]: _VALUES[1]})]) or ""
        return "True" in shown.partition(_KEYS[0])[2]

    def _typed_arguments(self) -> dict[str, str] | None:
        """Return the text between a key and a value, by JSON Schema type of the value."""
        found: dict[str, str] = {}
        for kind, value in _ENUM_KINDS.items():
            shown = self._written([_call(0, {_KEYS[0]: value, _KEYS[1]: _VALUES[1]})])
            if shown is None:
                continue
            after = shown.partition(_KEYS[0])[2].partition(_KEYS[1])[0]
            written = next((w for w in _spellings(value) if w in after), None)
            if written is not None:
                found[kind] = after.rpartition(written)[0]
        if "string" not in found:
            return None
        return {kind: found.get(kind, found["string"]) for kind in _ENUM_KINDS}


def _blanks_around(text: str) -> DelimiterPair:
    before = text[: len(text) - len(text.lstrip())]
    return DelimiterPair(before, _blanks_after(text))


def _blanks_after(text: str) -> str:
    return text[len(text.rstrip()) :]


def _spellings(value: JsonValue) -> list[str]:
    dumped = json.dumps(value)
    return (
        [value]
        if isinstance(value, str)
        else [dumped, str(value), json.dumps(value, separators=(",", ":"))]
    )


@dataclass(frozen=True, slots=True)
class _CallLayout:
    """The rendered text of calls, split into the parts of a call format."""

    section_begin: str
    before_name: str
    arguments: str
    """Text between the name and the end of the call, including the arguments."""
    separator: str
    section_end: str
    first_index: int

    @classmethod
    def of(cls, one: str, two: str | None) -> _CallLayout | None:
        """Split the text of one call with two arguments, and of two calls with one each."""
        before, name, rest = one.partition(_NAMES[0])
        if not name:
            return None
        first_index = 0
        if two is None or _NAMES[1] not in two:
            return cls("", before, rest, "", "", 0)
        first, _, second = two.partition(_NAMES[1])
        before_two = first.partition(_NAMES[0])[0]
        gap = first[first.rfind(_VALUES[0]) + len(_VALUES[0]) :]
        tail = second[second.rfind(_VALUES[1]) + len(_VALUES[1]) :]
        before_name, first_index = _common_start(before_two, gap)
        section_begin = before_two[: len(before_two) - len(_unslotted(before_name, before_two))]
        call_end = _common_ending(tail, gap)
        gap_begin = _unslotted(before_name, gap)
        while len(call_end) + len(gap_begin) > len(gap) and before_name[:1].isspace():
            # Blanks belong to the text before them.
            section_begin += before_name[0]
            before_name, gap_begin = before_name[1:], gap_begin[1:]
        separator = gap[len(call_end) : len(gap) - len(gap_begin)]
        section_end = tail[len(call_end) :]
        rest = rest[: len(rest) - len(section_end)] if rest.endswith(section_end) else rest
        rest, numbered = _numbered(rest, second)
        if not section_begin.strip():
            section_end = ""  # the text ends the turn, not a section
        return cls(
            section_begin, before_name, rest, separator, section_end, numbered or first_index
        )

    def format(self, typed: Callable[[], dict[str, str] | None]) -> CallFormat | None:
        """Return the call format of this layout; None if it is not understood.

        Args:
            typed: returns the text between a key and a value of each type.
        """
        start, end = _json_span(self.arguments)
        if start is not None:
            return self._with_json(self.arguments[:start], self.arguments[end:])
        return self._with_arguments(typed())

    def _with_json(self, before: str, after: str) -> CallFormat | None:
        layout = self._without_blanks()
        opening = layout.section_begin + layout.before_name
        before_name = layout.before_name
        name_key = re.search(r'"(\w+)"\s*:\s*"\Z', before_name)
        arguments_key = re.search(r'"(\w+)"\s*:\s*\Z', before)
        if name_key is None or arguments_key is None:
            return layout._tagged(before, after, None)
        head = re.split(r"[{\[](?=\s*[{\"\[])", opening, maxsplit=1)[0].rstrip()
        tag = _TAG.match(head)
        return JsonCalls(
            trigger=head or "{",
            section_begin=layout.section_begin,
            before_name=before_name,
            before_arguments=before,
            after_arguments=after if layout.section_begin else after.rstrip(),
            separator=layout.separator
            if layout.section_begin
            else _blanks_after(after) + layout.separator,
            section_end=layout.section_end.rstrip(),
            name_key=name_key.group(1),
            arguments_key=arguments_key.group(1),
            first_index=self.first_index,
            starts_turn=not head and tag is None,
        )

    def _with_arguments(self, value_begin: dict[str, str] | None) -> CallFormat | None:
        body = self.arguments
        if value_begin is None or any(word not in body for word in (*_KEYS, *_VALUES)):
            return None
        before_key = body.partition(_KEYS[0])[0]
        gap = body.partition(_VALUES[0])[2].partition(_KEYS[1])[0]
        tail = body.rpartition(_VALUES[1])[2]
        key_begin = _common_suffix(before_key, gap)
        value_end = common_prefix(gap, tail)
        while len(key_begin) + len(value_end) > len(gap):  # blanks belong to the text before them
            if not key_begin[:1].isspace():
                value_end = value_end[:-1]
            key_begin = key_begin[1:] if key_begin[:1].isspace() else key_begin
        separator = gap[len(value_end) : len(gap) - len(key_begin)]
        if not key_begin.strip() or not value_end.strip():
            return None
        return self._without_blanks()._tagged(
            before_key[: len(before_key) - len(key_begin)],
            tail[len(value_end) :],
            ArgumentDelimiters(
                key_begin=key_begin,
                value_begin=value_begin,
                value_end=value_end,
                separator=separator,
            ),
        )

    def _without_blanks(self) -> _CallLayout:
        """Return the layout without leading blanks."""
        if self.section_begin.strip():
            return replace(self, section_begin=self.section_begin.lstrip())
        name = self.before_name.lstrip()
        blanks = self.before_name[: len(self.before_name) - len(name)]
        return replace(self, section_begin="", before_name=name, separator=self.separator + blanks)

    def _tagged(
        self, before: str, after: str, arguments: ArgumentDelimiters | None
    ) -> TaggedCalls | None:
        trigger = _tagged_trigger(self.section_begin + self.before_name)
        if not trigger:
            return None
        others: tuple[str, ...] = ()
        inner = self.before_name.lstrip()
        if self.section_begin and (tag := _TAG.match(inner)) is not None:
            others = (tag.group(1),)
        elif (match := re.fullmatch(r"<[\w:]+>\s*(<\w+=)", inner)) is not None:
            others = (match.group(1),)
        return TaggedCalls(
            trigger=trigger,
            section_begin=self.section_begin,
            before_name=self.before_name,
            before_arguments=before,
            arguments=arguments,
            after_arguments=after if self.section_end else after.rstrip(),
            separator=self.separator if self.section_end else _blanks_after(after) + self.separator,
            section_end=self.section_end.rstrip(),
            first_index=self.first_index,
            other_triggers=tuple(o for o in others if o != trigger),
        )


def _tagged_trigger(opening: str) -> str:
    """Return the trigger of tagged calls: the first tag, or all text before the name."""
    tag = _TAG.match(opening)
    return tag.group(1) if tag is not None else opening.rstrip(INDEX + ID).strip()


def _json_span(text: str) -> tuple[int | None, int]:
    """Return start and end of the arguments, if they are a JSON object."""
    for match in re.finditer(r"\{", text):
        try:
            value, end = json.JSONDecoder().raw_decode(text, match.start())
        except ValueError:
            continue
        if value == {_KEYS[0]: _VALUES[0], _KEYS[1]: _VALUES[1]}:
            return match.start(), end
    return None, 0


def _numbered(first: str, second: str) -> tuple[str, int]:
    """Return the text after the name with a placeholder for the call's number; and that number."""
    one, two = atoms(first), atoms(second)
    for at, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            if a.isdigit() and b.isdigit() and int(b) == int(a) + 1:
                return "".join([*one[:at], INDEX, *one[at + 1 :]]), int(a)
            break
    return first, 0


def _common_start(first: str, second: str) -> tuple[str, int]:
    """Return the text both calls start with, and the first call's number if calls are numbered."""
    first_index = 0
    found: list[str] = []
    pairs = zip(reversed(atoms(first)), reversed(atoms(second)), strict=False)
    for one, two in pairs:
        if one == two:
            found.append(one)
        elif one.isdigit() and two.isdigit() and int(two) == int(one) + 1:
            found.append(INDEX)
            first_index = int(one)
        else:
            break
    return "".join(reversed(found)), first_index


def _unslotted(opening: str, text: str) -> str:
    """Return the end of a text that matches a delimiter with placeholders."""
    pattern = re.escape(opening).replace(re.escape(INDEX), r"\d+")
    match = re.search(f"{pattern}\\Z", text)
    return match.group() if match is not None else ""


def _common_ending(tail: str, gap: str) -> str:
    return common_prefix(tail, gap)


def _common_suffix(one: str, two: str) -> str:
    common: list[str] = []
    pairs = zip(reversed(atoms(one)), reversed(atoms(two)), strict=False)
    for a, b in pairs:
        if a != b:
            break
        common.append(a)
    return "".join(reversed(common))
