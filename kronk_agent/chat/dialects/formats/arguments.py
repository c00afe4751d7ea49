"""Arguments that are written one by one between delimiters, and their incremental parser.

Models sometimes forget delimiters, so an argument's end is confirmed by what follows it, and a
missing end is inferred from the next argument or the end of the call.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kronk_agent.chat.dialects.formats.values import Parameter, any_parameter, parameters_of
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Emit, Reading, StreamReader
from kronk_agent.tools import Tool

_KEY_END: Final = re.compile(r"\s*[^\s>]*>?")
_CDATA: Final = ("<![CDATA[", "]]>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentDelimiters:
    """Delimiters of arguments.

    An argument is ``key_begin KEY value_begin VALUE value_end``; ``separator`` is between two of
    them.
    """

    key_begin: str
    value_begin: Mapping[str, str]
    """By JSON Schema type of the value."""
    value_end: str
    separator: str = ""
    has_cdata: bool = False
    """Strings may be in CDATA sections of XML."""
    has_python_words: bool = False
    """The template, and so its models, write True, False and None as Python does."""

    @property
    def says_type(self) -> bool:
        """True if the delimiters tell whether a value is a string."""
        return self.value_begin["string"] != self.value_begin["integer"]

    @property
    def key_end(self) -> str:
        """Common prefix of all ``value_begin``, up to a blank or the end of a tag."""
        first, *others = self.value_begin.values()
        match = _KEY_END.match(first)
        assert match is not None, "matches the empty text"
        length = match.end()
        while not all(other.startswith(first[:length]) for other in others):
            length -= 1
        return first[:length]


class ArgumentsReader:
    """Parses the arguments of one call.

    Args:
        delimiters: of the arguments.
        closing: ends the call.
        reader: the turn's text.
        output: receives the arguments as JSON.
        tool: the tool that is called.
    """

    def __init__(
        self,
        delimiters: ArgumentDelimiters,
        closing: str,
        reader: StreamReader,
        output: Output,
        tool: Tool,
    ) -> None:
        self._delimiters = delimiters
        self._closing = closing
        self._reader = reader
        self._output = output
        self._parameters = parameters_of(tool)
        self._keys: set[str] = set()

    def read(self) -> Reading[bool]:
        """Read the arguments; true once the call is closed."""
        while True:
            if (yield from self._reader.take_loosely(self._delimiters.key_begin)):
                if not (yield from self._read_argument()):
                    return False
                yield from self._reader.take_loosely(self._delimiters.separator)
            elif (yield from self._reader.take_loosely(self._closing)):
                self._output.arguments("{}" if not self._keys else "}")
                return True
            else:
                return False

    def _read_argument(self) -> Reading[bool]:
        key: list[str] = []
        end = yield from self._reader.until(Delimiters([self._delimiters.key_end]), key.append)
        if end is None:
            return False
        is_string = yield from self._read_type()
        if is_string is None:
            return False
        name = self._parameter_name("".join(key))
        self._output.arguments((", " if self._keys else "{") + json.dumps(name, ensure_ascii=False))
        self._output.arguments(": ")
        self._keys.add(name)
        parameter = self._parameters.get(name, any_parameter(name))
        if is_string and self._delimiters.says_type:
            parameter = Parameter(name, {"type": "string"})
        elif self._delimiters.says_type:
            parameter = Parameter(name, {"type": ["number", "boolean", "null", "array", "object"]})
        return (yield from self._read_value(parameter))

    def _parameter_name(self, key: str) -> str:
        key = key.strip()
        return key if key in self._parameters else html.unescape(key)

    def _read_type(self) -> Reading[bool | None]:
        """Read the delimiter after the key; true if it announces a string, None if invalid."""
        delimiters = self._delimiters
        for kind, begin in sorted(delimiters.value_begin.items(), key=lambda item: -len(item[1])):
            if (yield from self._reader.take_loosely(begin.removeprefix(delimiters.key_end))):
                yield from take_blank_tail(self._reader, begin)
                return kind == "string"
        return None

    def _read_value(self, parameter: Parameter) -> Reading[bool]:
        reader = self._reader
        if self._delimiters.has_cdata and (yield from reader.take_loosely(_CDATA[0])):
            text: list[str] = []
            if (yield from reader.until(Delimiters([_CDATA[1]]), text.append)) is None:
                return False
            self._output.arguments(parameter.to_json("".join(text)))
            return (yield from reader.take_loosely(self._delimiters.value_end))
        if parameter.is_text:
            return (yield from self._stream_string())
        held: list[str] = []
        if not (yield from self._until_value_end(held.append)):
            return False
        self._output.arguments(parameter.to_json("".join(held)))
        return True

    def _stream_string(self) -> Reading[bool]:
        self._output.arguments('"')

        def emit(text: str) -> None:
            self._output.arguments(json.dumps(text, ensure_ascii=False)[1:-1])

        if not (yield from self._until_value_end(emit)):
            return False
        self._output.arguments('"')
        return True

    def _until_value_end(self, emit: Emit) -> Reading[bool]:
        """Emit a value up to its end.

        The end is its delimiter, if the call continues correctly after it, or what follows it, if
        the model forgot the delimiter.
        """
        end, key, closing = self._delimiters.value_end, self._delimiters.key_begin, self._closing
        core = end.strip()
        before = end[: len(end) - len(end.lstrip())]
        delimiters = Delimiters(
            [before + core, core, f"\n{key.strip()}", before + closing, closing]
        )
        while True:
            found = yield from self._reader.until(delimiters, emit)
            if found is None:
                return False
            checkpoint = self._reader.hold()
            if found.endswith(core) and (yield from self._is_value_over()):
                self._reader.release(checkpoint)
                return True
            self._reader.rewind(checkpoint)
            if not found.endswith(core) and (yield from self._forgot_end(found)):
                return True
            emit(found)

    def _is_value_over(self) -> Reading[bool]:
        """Return true if another argument or the end of the call follows."""
        return (yield from self._is_next(self._delimiters.key_begin, self._closing)) or (
            yield from self._is_last()
        )

    def _is_next(self, *delimiters: str) -> Reading[bool]:
        for delimiter in delimiters:
            checkpoint = self._reader.hold()
            is_next = yield from self._reader.take_loosely(delimiter)
            self._reader.rewind(checkpoint)
            if is_next and delimiter.strip():
                return True
        return False

    def _is_last(self) -> Reading[bool]:
        checkpoint = self._reader.hold()
        yield from self._reader.take_blanks()
        is_last = yield from self._reader.is_at_end()
        self._reader.rewind(checkpoint)
        return is_last

    def _forgot_end(self, found: str) -> Reading[bool]:
        """Return true if a delimiter found in a value starts the next argument or ends the call."""
        reader = self._reader
        if found.strip() == self._closing:
            if not (yield from self._is_call_over()):
                return False
            reader.unread(self._closing)
            return True
        checkpoint = reader.hold()
        key: list[str] = []
        yield from reader.until(Delimiters([self._delimiters.key_end, "\n"]), key.append)
        reader.rewind(checkpoint)
        name = "".join(key)
        if name not in self._parameters or name in self._keys:
            return False
        reader.unread(self._delimiters.key_begin)
        return True

    def _is_call_over(self) -> Reading[bool]:
        checkpoint = self._reader.hold()
        yield from self._reader.take_blanks()
        ahead = yield from self._reader.peek(1)
        self._reader.rewind(checkpoint)
        return ahead in ("", "<")


def take_blank_tail(reader: StreamReader, delimiter: str) -> Reading[None]:
    """Read the blanks a delimiter ends with, and no more: further blanks belong to the value."""
    yield from reader.take(delimiter[len(delimiter.rstrip()) :])
