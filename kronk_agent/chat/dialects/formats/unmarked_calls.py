"""Parser of calls that start an answer without the delimiters of the model's template.

Whatever the template says, models sometimes write a code block, a bare JSON object, tags of other
families or a function call. Such a form is a call once that is certain: after the name of a known
tool, where its arguments start. Until then it may be text. ``unmarked_grammar.py`` draws the line
at the same position.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kronk_agent.chat.dialects.formats.call_format import Tools
from kronk_agent.chat.dialects.formats.pythonic import read_arguments
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Reading, StreamReader
from kronk_agent.tools.written_calls import ARGUMENT_KEYS

FENCE: Final = "```"
WORD: Final = "[a-z_]"
"""A character of the word after a fence or in a tag: ``json``, ``tool_call``, ``tools`` …"""
FUNCTION_TAG: Final = "<function="
_TAGS: Final[Mapping[str, str]] = {"<": ">", "[": "]"}
_WORD: Final = re.compile(WORD)
_KEY: Final = re.compile(r"\w")


class UnmarkedCalls:
    """Parses such calls at the start of an answer.

    Args:
        reader: the turn's text.
        output: receives the calls.
        tools: the tools that may be called.
    """

    def __init__(self, reader: StreamReader, output: Output, tools: Tools) -> None:
        self._reader = reader
        self._output = output
        self._tools = tools
        self._names = sorted(tools, key=len, reverse=True)

    def read(self) -> Reading[bool]:
        """Read all calls that come next; if none does, return false and read nothing."""
        has_called = False
        while True:
            start = self._reader.hold()
            if not (yield from self._read_call()):
                self._reader.rewind(start)
                return has_called
            has_called = True
            yield from self._take_closing_delimiters()

    def _read_call(self) -> Reading[bool]:
        """Read a call up to the end of its arguments; true once it has started."""
        reader = self._reader
        yield from reader.take_blanks()
        if (yield from reader.take(FENCE)):
            yield from reader.take_all(_WORD)
            yield from reader.take_blanks()
        if (yield from reader.take(FUNCTION_TAG)):
            return (yield from self._read_function())
        if (yield from self._take_tag("")):
            yield from reader.take_blanks()
        if (yield from reader.take("[")):
            yield from reader.take_blanks()
        if (yield from reader.take("{")):
            return (yield from self._read_object())
        return (yield from self._read_python())

    # --- the three forms -----------------------------------------------------------------------

    def _read_object(self) -> Reading[bool]:
        """Read ``"name": NAME, "arguments": {…}}`` after the opening brace."""
        if (yield from self._take_all('"type"')) and not (
            yield from self._take_all(":", '"function"', ",")
        ):
            return False
        if not (yield from self._take_all('"name"', ":", '"')):
            return False
        name = yield from self._take_name('"')
        if name is None or not (yield from self._take_all(",")):
            return False
        if not (yield from self._take_argument_key()) or not (yield from self._take_all(":")):
            return False
        if not (yield from self._read_json(name)):
            return False
        if (yield from self._take_all("}")):
            self._output.end_call()
        return True

    def _take_argument_key(self) -> Reading[bool]:
        for key in ARGUMENT_KEYS:
            if (yield from self._take_all(f'"{key}"')):
                return True
        return False

    def _read_function(self) -> Reading[bool]:
        """Read ``NAME>{…}`` after ``<function=``."""
        name = yield from self._take_name(">")
        if name is None or not (yield from self._read_json(name)):
            return False
        self._output.end_call()
        return True

    def _read_python(self) -> Reading[bool]:
        """Read ``NAME({…})`` or ``NAME(key=value, …)``."""
        name = yield from self._take_name("(")
        if name is None:
            return False
        if (yield from self._read_json(name)):
            if (yield from self._take_all(")")):
                self._output.end_call()
            return True
        if not (yield from self._is_parameter_next(name)):
            return False
        self._begin(name)
        if (yield from read_arguments(self._reader, self._output.arguments)):
            self._output.end_call()
        return True

    def _is_parameter_next(self, name: str) -> Reading[bool]:
        """Return true if ``key=`` of a parameter of this tool comes next."""
        start = self._reader.hold()
        yield from self._reader.take_blanks()
        key = yield from self._reader.take_all(_KEY)
        is_next = key in parameter_names(self._tools, name) and (yield from self._reader.take("="))
        self._reader.rewind(start)
        return is_next

    # --- pieces --------------------------------------------------------------------------------

    def _take_name(self, end: str) -> Reading[str | None]:
        """Read a tool's name and the delimiter after it; None if no tool is named."""
        for name in self._names:
            if (yield from self._reader.take(name + end)):
                return name
        return None

    def _read_json(self, name: str) -> Reading[bool]:
        """Read a call's arguments as a JSON object; false if it is missing."""
        yield from self._reader.take_blanks()
        if (yield from self._reader.peek(1)) != "{":
            return False
        self._begin(name)
        yield from self._reader.json_value(self._output.arguments)
        return True

    def _begin(self, name: str) -> None:
        self._reader.commit()
        self._output.begin_call(name)

    def _take_all(self, *delimiters: str) -> Reading[bool]:
        """Read these delimiters, ignoring blanks before each; read nothing if one is missing."""
        start = self._reader.hold()
        for delimiter in delimiters:
            yield from self._reader.take_blanks()
            if not (yield from self._reader.take(delimiter)):
                self._reader.rewind(start)
                return False
        self._reader.release(start)
        return True

    def _take_tag(self, slash: str) -> Reading[bool]:
        """Read ``<word>`` or ``[word]``, ignoring blanks before it."""
        for begin, end in _TAGS.items():
            start = self._reader.hold()
            if (yield from self._take_all(begin + slash)):
                word = yield from self._reader.take_all(_WORD)
                if word and (yield from self._reader.take(end)):
                    self._reader.release(start)
                    return True
            self._reader.rewind(start)
        return False

    def _take_closing_delimiters(self) -> Reading[None]:
        if (yield from self._take_all(",")):
            return
        yield from self._take_all("]")
        yield from self._take_tag("/")
        start = self._reader.hold()
        yield from self._reader.take_blanks()
        if (yield from self._reader.take(FENCE)) and not (
            _WORD.match((yield from self._reader.peek(1)))
        ):
            self._reader.release(start)
        else:  # a fence followed by a word belongs to the next call
            self._reader.rewind(start)


def parameter_names(tools: Tools, name: str) -> list[str]:
    """Return the names of a tool's parameters."""
    properties = tools[name].parameters.get("properties")
    return list(properties) if isinstance(properties, dict) else []
