"""Writing grammars in llguidance's Lark (its docs/syntax.md and docs/parametric.md)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from kronk_agent.messages import JsonValue

_LONGEST_NAME: Final = 120
_UNQUOTED: Final = r"/(?s:((.*\n)?[ \t]*)|(.*[^ \t`\x22'“‘«(]))/"
"""Text behind which a mark is not quoted."""
_TAG: Final = r"<[^<>\s]{1,60}>|\[/?[A-Z_]{2,30}\]"


class Lark:
    """The rules of one grammar.

    Args:
        special_tokens: the vocabulary's special tokens by text. A mark is the token where there is
            one, and text where there is not.
        is_loose: allow what models do to marks of their own accord, where nothing is forced anyway.
    """

    def __init__(self, special_tokens: Mapping[str, int], *, is_loose: bool = False) -> None:
        self.is_loose = is_loose
        self._special = special_tokens
        self._rules: dict[str, str] = {"ANY": "/(?s:.*)/"}
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._parts = re.compile("(" + "|".join([*map(re.escape, longest_first), _TAG]) + ")")

    def add(self, name: str, body: str) -> str:
        """Add a rule (a terminal if its name is in capitals); returns the name."""
        head = name.partition("[")[0]
        assert self._rules.setdefault(head, f"{name}: {body}") == f"{name}: {body}" or head == "ANY"
        return head

    def is_token(self, text: str) -> bool:
        return text in self._special

    def exactly(self, text: str) -> str:
        """Just this text, with the special tokens in it as tokens. Empty text is no expression.

        It is cut at tags everywhere, so that where two rules go on differently after a tag, the
        lexer need not go back.
        """
        return " ".join(
            f"<[{self._special[part]}]>" if part in self._special else quoted(part)
            for part in self._parts.split(text)
            if part
        )

    def maybe(self, text: str) -> str:
        """This text or nothing."""
        return f"( {self.exactly(text)} )?" if text else ""

    def without(
        self, delimiters: Sequence[str], not_first: Sequence[str] = (), starts: Sequence[str] = ()
    ) -> str:
        """A terminal for any text in which none of these marks is, spelled out or as a token.

        It does not begin with those of ``not_first``, blanks apart, nor with a terminal of
        ``starts``.
        """
        inner = [delimiter for delimiter in delimiters if delimiter]
        first = [delimiter for delimiter in not_first if delimiter]
        if not inner and not first and not starts:
            return "ANY"
        words = [
            *map(name_part, inner),
            *(f"N{name_part(delimiter)}" for delimiter in first),
            *starts,
        ]
        conditions = [
            "ANY",
            *(f"~( ANY {quoted(delimiter)} ANY )" for delimiter in inner),
            *(f"~( /\\s*/ {quoted(delimiter)} ANY )" for delimiter in first),
            *(f"~( {start} ANY )" for start in starts),
        ]
        return self.add(self._named("_".join(["TEXT", *words]).upper()), " & ".join(conditions))

    def _named(self, name: str) -> str:
        """A name that is not too long."""
        if len(name) <= _LONGEST_NAME:
            return name
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        return f"{name[:_LONGEST_NAME]}_{digest.upper()}"

    def up_to(
        self,
        delimiter: str,
        others: Sequence[str] = (),
        not_first: Sequence[str] = (),
        starts: Sequence[str] = (),
        *,
        unquoted: bool = False,
    ) -> str:
        """A rule for text and the mark it ends with; no mark is in the text, of others either.

        Args:
            mark: what it ends with.
            others: further marks that are not in the text.
            not_first: what the text does not begin with, blanks apart.
            starts: terminals that the text does not begin with.
            unquoted: the mark is not quoted: see ``is_quoted``.
        """
        before = self.without([delimiter, *others], not_first, starts)
        name = f"to_{name_part(delimiter)}_{before.lower()}"
        if unquoted:
            name = f"unquoted_{name}"
        if delimiter in self._special:
            if unquoted:
                before = self.add(f"UNQUOTED_{before}", f"{before} & {_UNQUOTED}")
            return self.add(name, f"{before} <[{self._special[delimiter]}]>")
        # A start may also end with what the mark begins with.
        conditions = "".join(f" & ~( {start} ANY )" for start in starts if delimiter[0] in "{[")
        if unquoted:
            conditions += f" & ( {_UNQUOTED} {quoted(delimiter)} )"
        return self.add(f"{name}[lazy]", f"( {before} {quoted(delimiter)} ){conditions}")

    def ended(self, terminal: str, delimiter: str) -> str:
        """A terminal for text that does not have a mark in it, and the mark behind it."""
        first, *others = [part for part in self._parts.split(delimiter) if part]
        if first in self._special:
            return f"{terminal} {self.exactly(delimiter)}"
        at = 0
        while first.isspace() and others and others[0] not in self._special and at < 1:
            first, others, at = first + others[0], others[1:], at + 1
        name = f"{terminal.lower()}_{name_part(first)}"
        self.add(f"{name}[lazy]", f"{terminal} {quoted(first)}")
        return f"{name} {self.exactly(''.join(others))}"

    def json(self, schema: JsonValue) -> str:
        """Whatever a JSON Schema allows."""
        return f"%json {json.dumps(schema, ensure_ascii=False)}"

    def text(self, start: str) -> str:
        lines = ["%llguidance {}", f"start: {start}", "ANY: /(?s:.*)/"]
        rules = [rule for name, rule in self._rules.items() if name != "ANY"]
        return "\n".join([*lines, *rules]) + "\n"


def is_quoted(line: str) -> bool:
    """True if a mark behind this beginning of a line is quoted: words and a blank are before it, or
    a quotation mark. Models that go over to a call write it on a line of its own, or right behind
    the last word."""
    return re.fullmatch(_UNQUOTED[1:-1], line) is None


def quoted(text: str) -> str:
    """A string literal; empty text is no expression."""
    return json.dumps(text, ensure_ascii=False) if text else ""


def as_regex(pattern: str) -> str:
    """A regex literal; nothing in the pattern ends it."""
    pattern = re.sub(r"\\.|/", lambda m: "\\/" if m[0] == "/" else m[0], pattern, flags=re.DOTALL)
    return "/" + pattern.replace("\n", "\\n") + "/"


def either(*options: str) -> str:
    """One of several expressions; an empty one is nothing."""
    return "( " + " | ".join(option or '""' for option in options) + " )"


def name_part(delimiter: str) -> str:
    """A mark as part of a rule's name."""
    return "".join(
        f"{ord(c):x}" if not (c.isascii() and c.isalnum()) else c for c in delimiter
    ).lower()
