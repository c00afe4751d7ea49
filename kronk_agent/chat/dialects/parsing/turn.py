"""Format and parser of turns: thinking, text and calls in the notation of a model's template.

``TurnFormat`` is the data; ``TurnParser`` parses a turn, and ``turn_grammar`` writes its grammar.
Both assume the same order: thinking if any, then text, then calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from kronk_agent.chat.dialects.formats.call_format import (
    CallFormat,
    DelimiterPair,
    Tools,
    is_bracket,
)
from kronk_agent.chat.dialects.formats.unmarked_calls import UnmarkedCalls
from kronk_agent.chat.dialects.grammar.lark import is_quoted
from kronk_agent.chat.dialects.parsing.output import Output, new_call_id
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Reading, StreamReader
from kronk_agent.chat.dialects.parsing.text_filters import (
    DelimiterFilter,
    FenceFilter,
    TextFilter,
    TrimFilter,
)
from kronk_agent.messages import Delta

State: TypeAlias = Literal["start", "thinking", "thought", "answering", "content", "called"]
"""State of a turn; ``content`` is text after its opening delimiter."""

_NOTHING: Final = DelimiterPair("", "")
_LONGEST_LINE: Final = 200
"""Characters of the current line that are kept, to recognise quoted delimiters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFormat:
    """Turn notation of one model family. Delimiters are the template's, with their blanks."""

    name: str
    header: str = ""
    """Text at the end of the prompt that starts a turn."""
    end: str = ""
    """Text that ends a turn, if it is more than an end-of-generation token."""
    reasoning: DelimiterPair | None = None
    """Delimiters around thinking; None if the model does not think."""
    content: DelimiterPair | None = None
    """Delimiters around text; None if it has none."""
    calls: CallFormat | None = None
    """Call format; None if the family has none or it is unknown."""
    before_calls: str = ""
    """Text between the answer's text and the calls."""
    blanks_around_calls: DelimiterPair = _NOTHING
    """Blanks before and after the calls of a turn without text."""
    call_ends_reasoning: bool = True
    """True if the models switch from thinking to calls without closing the thinking."""
    reasons_anywhere: bool = False
    """True if thinking may also follow text."""
    stray_delimiters: tuple[str, ...] = ()
    """Delimiters that the models write where they mean nothing; they are dropped."""

    @property
    def triggers(self) -> tuple[str, ...]:
        """Texts that start calls; empty without a call format."""
        return () if self.calls is None else self.calls.triggers


class TurnParser:
    """Parses the text of one turn into deltas, in linear time.

    Args:
        format: how the turn is written.
        tools: the tools that may be called; calls of others are text.
        separate_reasoning: False leaves thinking in the text, with its delimiters.
        strips_fences: the answer is JSON; blanks and code fences around it are dropped, and only
        calls with the template's delimiters are recognised.
        new_id: makes the id of each call.
    """

    def __init__(
        self,
        format: TurnFormat,
        tools: Tools,
        *,
        separate_reasoning: bool = True,
        strips_fences: bool = False,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.state: State = "start"
        self._format = format
        self._tools = tools
        self._reader = StreamReader()
        self._output = Output(new_id)
        self._separates = separate_reasoning
        self._reads_unmarked = bool(tools) and not strips_fences
        self._text = (
            FenceFilter(self._output.text) if strips_fences else TextFilter(self._output.text)
        )
        self._leading_blanks = ""
        """Blanks at the start of the text; dropped if calls follow."""
        self._has_text = False
        self._reading = self._read()
        next(self._reading, None)

    @property
    def num_calls(self) -> int:
        """Complete calls so far."""
        return self._output.num_calls

    @property
    def is_inside_call(self) -> bool:
        """True if a call has started and is not complete."""
        return self._output.is_inside_call

    @property
    def is_thinking(self) -> bool:
        """True while thinking is read."""
        return self.state == "thinking"

    def push(self, text: str) -> list[Delta]:
        """Add text and return its deltas."""
        if text:
            self._reader.push(text)
            next(self._reading, None)
        return self._output.take()

    def finish(self, *, is_cut: bool = False) -> list[Delta]:
        """End the turn and return the deltas of held text.

        An incomplete call gets no ``ToolCallEnd``.

        Args:
            is_cut: True if the model was stopped before it ended the turn.
        """
        self._reader.close(is_cut=is_cut)
        next(self._reading, None)
        if self.state != "called":
            self._text.push(self._leading_blanks)
        self._text.finish()
        return self._output.take()

    # --- the turn ------------------------------------------------------------------------------

    def _read(self) -> Reading[None]:
        format, reader = self._format, self._reader
        yield from self._skip_repeated_header()
        yield from self._read_reasoning_if_any()
        delimiters = self._delimiters()
        while True:
            delimiter = yield from reader.until(delimiters, self._emit_text)
            if delimiter is None:
                return
            if format.end and delimiter == format.end.strip():
                yield from self._skip_rest()
                return
            if delimiter in format.stray_delimiters:
                continue
            if format.content is not None and delimiter in _stripped(format.content):
                self.state = "content" if delimiter == format.content.begin.strip() else "answering"
                continue
            if format.reasoning is not None and delimiter in _stripped(format.reasoning):
                if delimiter == format.reasoning.begin.strip():
                    yield from self._read_thought(delimiter)
                continue
            yield from self._read_calls(delimiter)

    def _delimiters(self) -> Delimiters:
        format = self._format
        texts = [format.end.strip(), *format.stray_delimiters]
        if format.content is not None:
            texts += _stripped(format.content)
        if format.reasoning is not None and format.reasons_anywhere:
            texts += _stripped(format.reasoning)
        if self._tools:
            delimiters = [trigger for trigger in format.triggers if not is_bracket(trigger)]
            texts += [
                lead + delimiter for delimiter in delimiters for lead in ("", format.before_calls)
            ]
        return Delimiters(texts)

    def _skip_repeated_header(self) -> Reading[None]:
        """Skip a repetition of the tag at the end of the prompt, which some models write."""
        tag = self._format.header.strip()[self._format.header.strip().rfind("<") :]
        is_mark = self._format.reasoning is not None and tag in _stripped(self._format.reasoning)
        if tag.startswith("<") and tag.endswith(">") and not is_mark:
            yield from self._reader.take(tag)

    # --- thinking ------------------------------------------------------------------------------

    def _read_reasoning_if_any(self) -> Reading[None]:
        reasoning, reader = self._format.reasoning, self._reader
        if reasoning is None:
            self.state = "answering"
            yield from self._read_calls_at_start()
            return
        start = reader.hold()
        yield from reader.take_blanks()
        for stray in self._format.stray_delimiters:
            yield from self._take_stray(stray, reasoning.begin.strip())
        has_begun = yield from reader.take(reasoning.begin.strip())
        if has_begun:
            yield from self._read_thought(reader.release(start))
        elif reasoning.end.strip() != reasoning.begin.strip() and (
            yield from reader.take(reasoning.end.strip())
        ):
            reader.release(start)
            yield from self._skip_blanks_after_thought()
        else:
            reader.rewind(start)
            self.state = "answering"
        yield from self._read_calls_at_start()

    def _take_stray(self, stray: str, delimiter: str) -> Reading[None]:
        """Skip stray delimiters before a delimiter that starts like them."""
        while (yield from self._reader.peek(len(stray + delimiter))).startswith(stray + delimiter):
            yield from self._reader.take(stray)

    def _read_thought(self, begun: str) -> Reading[None]:
        """Read thinking after its delimiter.

        Args:
            begun: the delimiter as it was read, with the blanks before it.
        """
        reasoning = self._format.reasoning
        assert reasoning is not None
        self.state = "thinking"
        end = reasoning.end.strip()
        thought: TextFilter
        if self._separates:
            thought = TrimFilter(self._output.reasoning)
        else:
            thought = DelimiterFilter(self._text.push, begun)
        content = [self._format.content.begin.strip()] if self._format.content else []
        ends = self._format.call_ends_reasoning and bool(self._tools)
        triggers = [t for t in self._format.triggers if ends and not is_bracket(t)]
        delimiters = Delimiters([end, *triggers, *content])
        line = ""

        def emit(text: str) -> None:
            nonlocal line
            line = (line + text).rpartition("\n")[2][-_LONGEST_LINE:]
            thought.push(text)

        while True:
            delimiter = yield from self._reader.until(delimiters, emit)
            if delimiter is None:
                return
            if delimiter == end:
                break
            if delimiter in content:
                self.state = "content"
                return
            if is_quoted(line):
                emit(delimiter)
            elif (yield from self._read_calls(delimiter, emit)):
                self.state = "called"
                return
        is_shown = not self._separates and thought.has_begun
        if is_shown:
            self._text.push(end)
        yield from self._skip_blanks_after_thought(is_shown=is_shown)

    def _skip_blanks_after_thought(self, *, is_shown: bool = False) -> Reading[None]:
        self.state = "thought"
        blanks = yield from self._reader.take_blanks()
        if is_shown:
            self._text.push(blanks)
        if not (yield from self._reader.is_at_end()):
            self.state = "answering"

    # --- calls ---------------------------------------------------------------------------------

    def _read_calls_at_start(self) -> Reading[None]:
        """Read calls at the start of the answer that the template's delimiters do not announce."""
        yield from self._read_bare_calls()
        if (
            self.state == "called"
            or not self._reads_unmarked
            or (yield from self._is_delimited_next())
        ):
            return
        if (yield from UnmarkedCalls(self._reader, self._output, self._tools).read()):
            yield from self._end_calls()

    def _is_delimited_next(self) -> Reading[bool]:
        """Return true if a trigger of the template comes next."""
        start = self._reader.hold()
        yield from self._reader.take_blanks()
        is_delimited = False
        for trigger in self._format.triggers:
            is_delimited = is_delimited or (
                not is_bracket(trigger) and (yield from self._reader.take(trigger))
            )
        self._reader.rewind(start)
        return is_delimited

    def _read_bare_calls(self) -> Reading[None]:
        """Read calls that start the turn with a bracket instead of a delimiter."""
        calls = self._format.calls
        if calls is None or not calls.starts_turn or not self._tools:
            return
        start = self._reader.hold()
        yield from self._reader.take_blanks()
        for trigger in calls.triggers:
            if (yield from self._reader.take(trigger)):
                if (yield from calls.read(self._reader, self._output, self._tools, trigger)):
                    self.state = "called"
                    return
                self._reader.rewind(start)
                return
        self._reader.rewind(start)

    def _read_calls(
        self, delimiter: str, emit: Callable[[str], object] | None = None
    ) -> Reading[bool]:
        """Read calls after their trigger; false if none follow, so the delimiter was text."""
        calls = self._format.calls
        assert calls is not None
        trigger = next(t for t in calls.triggers if delimiter.endswith(t) and not is_bracket(t))
        self._reader.ran_out = False
        is_call = yield from calls.read(self._reader, self._output, self._tools, trigger)
        if not is_call and self._reader.ran_out:
            self._output.is_inside_call = True  # cut off before it was certain to be a call
            yield from self._skip_rest()
            return True
        if not is_call:
            (emit or self._emit_text)(delimiter)
            return False
        yield from self._end_calls()
        return True

    def _end_calls(self) -> Reading[None]:
        """Skip blanks after calls if further calls or nothing follows."""
        self.state = "called"
        self._leading_blanks, self._has_text = "", True
        start = self._reader.hold()
        yield from self._reader.take_blanks()
        following = yield from self._reader.peek(max(map(len, self._format.triggers)))
        if following == "" or following.startswith(self._format.triggers):
            self._reader.release(start)
        else:
            self._reader.rewind(start)

    def _emit_text(self, text: str) -> None:
        if self.state not in ("called", "content"):
            self.state = "answering"
        if not self._has_text:
            self._leading_blanks += text
            if text.isspace():
                return
            text, self._leading_blanks = self._leading_blanks, ""
            self._has_text = True
        self._text.push(text)

    def _skip_rest(self) -> Reading[None]:
        yield from self._reader.until(Delimiters([]), lambda _: None)


def _stripped(pair: DelimiterPair) -> list[str]:
    return [pair.begin.strip(), pair.end.strip()]
