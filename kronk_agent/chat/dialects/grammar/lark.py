"""Writer for grammars in llguidance's Lark dialect (its docs/syntax.md and docs/parametric.md)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from kronk_agent.messages import JsonValue

_LONGEST_NAME: Final = 120
_UNQUOTED: Final = r"/(?s:((.*\n)?[ \t]*)|(.*[^ \t`\x22'“‘«(]))/"
"""Text after which a delimiter is not quoted."""
_TAG: Final = r"<[^<>\s]{1,60}>|\[/?[A-Z_]{2,30}\]"


class Lark:
    """The rules of one grammar.

    Args:
        special_tokens: the vocabulary's special tokens by text. A delimiter is matched as a token
        if it is one, and as text otherwise.
        is_loose: allow common deviations in delimiters, in grammars that force nothing anyway.
    """

    def __init__(self, special_tokens: Mapping[str, int], *, is_loose: bool = False) -> None:
        self.is_loose = is_loose
        self._special = special_tokens
        self.unenforced: set[str] = set()
        """Keywords of JSON Schemas that the rules do not enforce."""
        self._rules: dict[str, str] = {"ANY": "/(?s:.*)/"}
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._parts = re.compile("(" + "|".join([*map(re.escape, longest_first), _TAG]) + ")")

    def add(self, name: str, body: str) -> str:
        """Add a rule, or a terminal if the name is in capitals; return the name."""
        head = name.partition("[")[0]
        assert self._rules.setdefault(head, f"{name}: {body}") == f"{name}: {body}" or head == "ANY"
        return head

    def is_token(self, text: str) -> bool:
        """Return true if a text is a special token."""
        return text in self._special

    def exactly(self, text: str) -> str:
        """Return an expression for exactly this text, with its special tokens as tokens.

        Empty text gives an empty expression. The text is split at tags, so that two rules that
        differ after a tag do not make the lexer backtrack.
        """
        return " ".join(
            f"<[{self._special[part]}]>" if part in self._special else quoted(part)
            for part in self._parts.split(text)
            if part
        )

    def maybe(self, text: str) -> str:
        """Return an expression for this text or nothing."""
        return f"( {self.exactly(text)} )?" if text else ""

    def without(
        self, delimiters: Sequence[str], not_first: Sequence[str] = (), starts: Sequence[str] = ()
    ) -> str:
        """Return a terminal for text without these delimiters, whether spelled out or as tokens.

        Args:
            delimiters: not in the text.
            not_first: the text does not start with these, apart from blanks.
            starts: terminals that the text does not start with.
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
        """Shorten a name that is too long."""
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
        """Return a rule for text and the delimiter that ends it; the text contains no delimiter.

        Args:
            delimiter: ends the text.
            others: further delimiters that are not in the text.
            not_first: the text does not start with these, apart from blanks.
            starts: terminals that the text does not start with.
            unquoted: the delimiter is not quoted: see ``is_quoted``.
        """
        before = self.without([delimiter, *others], not_first, starts)
        name = f"to_{name_part(delimiter)}_{before.lower()}"
        if unquoted:
            name = f"unquoted_{name}"
        if delimiter in self._special:
            if unquoted:
                before = self.add(f"UNQUOTED_{before}", f"{before} & {_UNQUOTED}")
            return self.add(name, f"{before} <[{self._special[delimiter]}]>")
        # A start may also end with the delimiter's first character.
        conditions = "".join(f" & ~( {start} ANY )" for start in starts if delimiter[0] in "{[")
        if unquoted:
            conditions += f" & ( {_UNQUOTED} {quoted(delimiter)} )"
        return self.add(f"{name}[lazy]", f"( {before} {quoted(delimiter)} ){conditions}")

    def ended(self, terminal: str, delimiter: str) -> str:
        """Return a terminal for text without a delimiter, followed by the delimiter."""
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
        """Return an expression for any value that a JSON Schema allows."""
        return f"%json {json.dumps(schema, ensure_ascii=False)}"

    def text(self, start: str) -> str:
        """Return the grammar's text.

        Args:
            start: expression of the start rule.
        """
        lines = ["%llguidance {}", f"start: {start}", "ANY: /(?s:.*)/"]
        rules = [rule for name, rule in self._rules.items() if name != "ANY"]
        return "\n".join([*lines, *rules]) + "\n"


def is_quoted(line: str) -> bool:
    """Return true if a delimiter after this start of a line would be quoted.

    It is, if words and a blank or a quotation mark precede it. Models that switch to a call write
    its delimiter on a new line, or directly after the last word.
    """
    return re.fullmatch(_UNQUOTED[1:-1], line) is None


def quoted(text: str) -> str:
    """Return a string literal; empty text gives an empty expression."""
    return json.dumps(text, ensure_ascii=False) if text else ""


def as_regex(pattern: str) -> str:
    """Return a regex literal, with slashes and line breaks escaped."""
    pattern = re.sub(r"\\.|/", lambda m: "\\/" if m[0] == "/" else m[0], pattern, flags=re.DOTALL)
    return "/" + pattern.replace("\n", "\\n") + "/"


def either(*options: str) -> str:
    """Return an expression for one of several; an empty one matches nothing."""
    return "( " + " | ".join(option or '""' for option in options) + " )"


def name_part(delimiter: str) -> str:
    """Encode a delimiter as part of a rule's name."""
    return "".join(
        f"{ord(c):x}" if not (c.isascii() and c.isalnum()) else c for c in delimiter
    ).lower()
