"""Grammar of calls that start an answer without the delimiters of the model's template.

It follows the text one element at a time: a fence, a tag, the start of an object, a name. After
each element the answer may still be any text that does not continue as a call. So text stays
possible, and only the schema of the named tool is active once the name is complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from kronk_agent.chat.dialects.formats.call_format import Tools
from kronk_agent.chat.dialects.formats.pythonic import PythonNotation
from kronk_agent.chat.dialects.formats.unmarked_calls import (
    FENCE,
    FUNCTION_TAG,
    WORD,
    parameter_names,
)
from kronk_agent.chat.dialects.grammar.lark import Lark, either, quoted
from kronk_agent.chat.dialects.grammar.schema import arguments_schema
from kronk_agent.chat.dialects.grammar.structured import StructuredRules
from kronk_agent.tools.written_calls import ARGUMENT_KEYS

Texts: TypeAlias = Callable[[Sequence[str]], str]
"""Returns an expression for the rest of an answer that starts with none of these terminals."""

MAX_PYTHON_TOOLS: Final = 32
"""With more tools, the grammar treats ``NAME(…)`` as text; its rules would take as long to compile
as all others together."""
_OBJECT: Final = r'\{\s*("type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"'
_NAME_MEMBER: Final = r'"name"[ \t]*:[ \t]*"'
_KEY: Final = rf'"\s*,\s*"({"|".join(ARGUMENT_KEYS)})"\s*:\s*'
_END_TAG: Final = rf"\s*(<\/{WORD}+>|\[\/{WORD}+\])"
_CLOSE: Final = rf"/(\s*,|(\s*\])?({_END_TAG})?(\s*{FENCE})?)\s*/"


class UnmarkedRules:
    """Adds the rules of such calls to a grammar.

    Args:
        lark: receives the rules.
        tools: the tools that may be called.
        max_calls: in one turn.
        texts: returns an expression for other answers.
        is_restricted: the model sees more tools than it may call now. A text that starts like a
        call must then be a call of an allowed tool; otherwise it would be a call of a forbidden
        one.
    """

    def __init__(
        self,
        lark: Lark,
        tools: Tools,
        max_calls: int,
        texts: Texts,
        *,
        is_restricted: bool = False,
    ) -> None:
        self._lark = lark
        self._tools = list(tools.values())
        self._keys = [parameter_names(tools, name) for name in tools]
        self._max_calls = max_calls
        self._texts = texts
        self._names = any_of(tools)
        self._is_restricted = is_restricted
        self._fence = lark.add("FENCE", rf"/\s*{FENCE}{WORD}*\s*/")
        self._tag = lark.add("TAG", rf"/\s*(<{WORD}+>|\[{WORD}+\])\s*/")
        self._forms = [self._objects(), self._functions()]
        if len(tools) <= MAX_PYTHON_TOOLS:
            self._forms += [self._python_call(i) for i in range(len(tools))]

    @property
    def starts(self) -> list[str]:
        """Terminals that such an answer starts with."""
        return [self._fence, self._tag, *(start for start, _, _ in self._forms)]

    def answer(self) -> str:
        """Return an expression for an answer that starts with one of ``starts``: calls, or text."""
        more = self._more()
        forms = either(
            *(
                f"{start} {call} {more}"
                if self._is_restricted
                else f"{start} {either(f'{call} {more}', self._texts([sure]))}"
                for start, call, sure in self._forms
            )
        )
        begun = self._lark.add("unmarked", forms)
        tagged = self._lark.add("tagged", either(begun, self._texts(self.starts[2:])))
        fenced = either(begun, f"{self._tag} {tagged}", self._texts(self.starts[1:]))
        return either(begun, f"{self._tag} {tagged}", f"{self._fence} {fenced}")

    def _more(self) -> str:
        """Return an expression for further calls; each may have a fence and a tag of its own."""
        if self._max_calls == 1:
            return ""
        calls = either(*(f"{start} {call}" for start, call, _ in self._forms))
        one = self._lark.add("unmarked_more", f"{self._fence}? {self._tag}? {calls}")
        return f"{one}{{0,{self._max_calls - 1}}}"

    # --- the forms: start, rest of the call, and start of a certain call -------------------------

    def _objects(self) -> tuple[str, str, str]:
        """``{"name": NAME, "arguments": {…}}``.

        A list after the key is no text either: small models often put the object into one.
        """
        add = self._lark.add
        start = add("OBJECT", rf"/\s*(\[\s*)?{_OBJECT}/")
        sure = add("NAMED", rf"/{self._names}{_KEY}[\{{\[]/")
        heads = (f"/{escaped(tool.name)}{_KEY}/" for tool in self._tools)
        calls = (f"{head} {self._arguments(i)}" for i, head in enumerate(heads))
        return start, add("object", rf"{either(*calls)} /\s*\}}/ {self._close}"), sure

    def _functions(self) -> tuple[str, str, str]:
        """``<function=NAME>{…}</function>``."""
        add = self._lark.add
        start = add("FUNCTION", rf"/\s*{escaped(FUNCTION_TAG)}/")
        sure = add("FUNCTION_NAMED", rf"/{self._names}>\s*\{{/")
        heads = (rf"/{escaped(tool.name)}>\s*/" for tool in self._tools)
        calls = (f"{head} {self._arguments(i)}" for i, head in enumerate(heads))
        return start, add("function", f"{either(*calls)} {self._close}"), sure

    def _python_call(self, i: int) -> tuple[str, str, str]:
        """``NAME({…})`` or ``NAME(key=value, …)`` of one tool."""
        tool, add = self._tools[i], self._lark.add
        start = add(f"PYTHON_{i}", rf"/\s*(\[\s*)?{escaped(tool.name)}\(/")
        keys = "".join(rf"|{escaped(key)}=" for key in self._keys[i])
        sure = add(f"PYTHON_SURE_{i}", rf"/\s*(\{{{keys})/")
        rules = StructuredRules(self._lark, PythonNotation(), tool.parameters, f"python_{i}")
        members = rules.members(tool.parameters) if keys else ""
        bodies = [self._arguments(i), members] if members else [self._arguments(i)]
        return start, add(f"python_call_{i}", rf"{either(*bodies)} /\s*\)/ {self._close}"), sure

    def _arguments(self, i: int) -> str:
        return self._lark.add(f"unmarked_{i}", self._lark.json(arguments_schema(self._tools[i])))

    @property
    def _close(self) -> str:
        return self._lark.add("CLOSE", _CLOSE)


def text_without_calls(
    lark: Lark, tools: Tools, delimiters: Sequence[str], not_first: Sequence[str] = ()
) -> str:
    """Return an expression for text that is not blank and has no call of these tools in any form.

    The text is split into lines and after ``"name": ``, so that no terminal searches for the tools'
    names at more than one position: llguidance gives up on terminals that search for many texts
    anywhere.

    Args:
        lark: receives the rules.
        tools: the tools that may not be called.
        delimiters: further texts that do not occur.
        not_first: texts that it does not start with.
    """
    names = any_of(tools)
    inside = "|".join([_NAME_MEMBER, *map(escaped, [FUNCTION_TAG, *delimiters])])
    clear = f"~( ANY /({inside})/ ANY )"
    call = rf"/[ \t]*(\[[ \t]*)?{names}\(\s*(\{{|[A-Za-z0-9_]+=)/"
    line = lark.add("LINE", rf"/[^\n]*/ & {clear} & ~( {call} ANY )")
    others = "".join(rf" & ~( /[ \t]*/ {quoted(delimiter)} ANY )" for delimiter in not_first)
    first = lark.add("FIRST_LINE", rf"{line} & /[ \t]*[^ \t\n][^\n]*/{others}")
    value = lark.add("OTHER_NAME", rf'/"[^"\n]*/ & ~/"{names}/')
    rest = lark.add("REST_OF_LINE", rf'/"[^\n]*/ & {clear}')
    return rf"/\s*\n/? {first} ( {value} {rest}? | /\n/ {line} )*"


def any_of(names: Sequence[str] | Tools) -> str:
    """Return a regular expression for one of several names."""
    return f"({'|'.join(map(escaped, names))})"


def escaped(text: str) -> str:
    """Escape a text for a regular expression between slashes."""
    return re.escape(text).replace("/", r"\/").replace(r"\-", "-")
