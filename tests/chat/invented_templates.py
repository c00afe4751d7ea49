"""Random chat templates, combined from parts of published ones."""

from __future__ import annotations

import random
from dataclasses import dataclass

_LETTERS = "bcdfghjklmnpqrstvwxz"


@dataclass(frozen=True, slots=True)
class InventedTemplate:
    """A template, and what is in it, for messages about failures."""

    source: str
    features: str


def invent(seed: int) -> InventedTemplate:
    """The template of a number; the same number gives the same."""
    return _Inventor(random.Random(seed)).invent()


class _Inventor:
    def __init__(self, choice: random.Random) -> None:
        self._random = choice
        self._features: list[str] = []

    def invent(self) -> InventedTemplate:
        user, user_end = self._mark(), self._ending()
        assistant, assistant_end = self._mark(), self._ending()
        system, system_end = self._mark(), self._ending()
        result, result_end = self._mark(), self._ending()
        thought = self._thought()
        text = "{{ m.content }}"
        if self._one_in(6):
            text = f"{_literal(self._mark())}{text}{_literal(self._mark())}"
            self._note("marked text")
        calls = self._calls()
        begins_thinking = bool(thought) and self._one_in(3)
        if begins_thinking:
            self._note("begins thinking")
        source = (
            "{%- if tools %}"
            f"{_literal(system)}Tools: {{{{ tools | tojson }}}}{_literal(system_end)}"
            "{%- endif %}"
            "{%- for m in messages %}"
            f"{{%- if m.role == 'system' %}}{_literal(system)}{{{{ m.content }}}}"
            f"{_literal(system_end)}"
            f"{{%- elif m.role == 'user' %}}{_literal(user)}{{{{ m.content }}}}{_literal(user_end)}"
            f"{{%- elif m.role == 'tool' %}}{_literal(result)}{{{{ m.content }}}}"
            f"{_literal(result_end)}"
            f"{{%- else %}}{_literal(assistant)}"
            + (
                f"{{%- if m.reasoning_content %}}{_literal(thought[0])}"
                f"{{{{ m.reasoning_content }}}}{_literal(thought[1])}{{%- endif %}}"
                if thought
                else ""
            )
            + f"{{%- if m.content %}}{text}{{%- endif %}}"
            f"{{%- if m.tool_calls %}}{calls}{{%- endif %}}"
            f"{_literal(assistant_end)}{{%- endif %}}{{%- endfor %}}"
            f"{{%- if add_generation_prompt %}}{_literal(assistant)}"
            + (_literal(thought[0]) if begins_thinking and thought else "")
            + "{%- endif %}"
        )
        return InventedTemplate(source, ", ".join(self._features))

    # --- marks ---------------------------------------------------------------------------------

    def _calls(self) -> str:
        begin, end = self._section()
        separator = self._random.choice(["", "\n", "\n\n", ",\n", " ", ""])
        if begin.endswith("["):
            separator = self._random.choice([",", ", ", ",\n"])
        call = self._random.choice([self._json, self._json, self._tagged_json, self._tagged])()
        between = f"{{%- if not loop.last %}}{_literal(separator)}{{%- endif %}}"
        return (
            f"{_literal(begin)}{{%- for c in m.tool_calls %}}{{%- set f = c.function %}}"
            f"{call}{between}{{%- endfor %}}{_literal(end)}"
        )

    def _section(self) -> tuple[str, str]:
        match self._random.randrange(4):
            case 0:
                self._note("section")
                return self._mark(), self._mark()
            case 1:
                self._note("list")
                return f"{self._mark()}[", "]"
            case 2:
                self._note("list in section")
                return f"{self._mark()}\n[", f"]\n{self._mark()}"
            case _:
                return "", ""

    def _json(self) -> str:
        self._note("JSON")
        name, arguments = self._random.choice(
            [("name", "arguments"), ("name", "parameters"), ("tool_name", "arguments")]
        )
        colon = self._random.choice([": ", ":"])
        members = [
            _literal(f'"{name}"{colon}"') + "{{ f.name }}" + _literal('"'),
            _literal(f'"{arguments}"{colon}') + "{{ f.arguments | tojson }}",
        ]
        if self._one_in(5):
            members.reverse()
            self._note("arguments first")
        if self._one_in(6):
            members.append(_literal(f'"tool"{colon}"') + "{{ f.name }}" + _literal('"'))
            self._note("name twice")
        if self._one_in(5):
            members.insert(0, _literal(f'"type"{colon}"function"'))
        inner = _literal(self._random.choice([", ", ","])).join(members)
        call = _literal("{") + inner + _literal("}")
        if self._one_in(2):
            begin, end = self._mark(), self._mark()
            return _literal(begin) + call + _literal(end)
        return call

    def _tagged_json(self) -> str:
        self._note("JSON behind the name")
        begin, middle, end = self._mark(), self._mark(), self._mark()
        name, arguments = "{{ f.name }}", "{{ f.arguments | tojson }}"
        if self._one_in(6):
            self._note("arguments first")
            name, arguments = arguments, name
        if self._one_in(6):
            self._note("name twice")
            end = end.strip()
            return _literal(begin) + name + _literal(middle) + arguments + _literal(end) + name
        return _literal(begin) + name + _literal(middle) + arguments + _literal(end)

    def _tagged(self) -> str:
        self._note("arguments one by one")
        begin, middle, end = self._mark(), self._blank_or_mark(), self._mark()
        key, value, value_end = self._mark(), self._mark(), self._mark()
        value_of = "{{ v if v is string else v | tojson }}"
        return (
            f"{_literal(begin)}{{{{ f.name }}}}{_literal(middle)}"
            f"{{%- for k, v in f.arguments.items() %}}{_literal(key)}{{{{ k }}}}{_literal(value)}"
            f"{value_of}{_literal(value_end)}{{%- endfor %}}{_literal(end)}"
        )

    def _thought(self) -> tuple[str, str] | None:
        match self._random.randrange(4):
            case 0:
                return None
            case 1:
                self._note("thinking in words")
                return f"My {self._word()} so far:\n", f"\nSo much for my {self._word()}.\n\n"
            case 2:
                self._note("thinking between marks of its own")
                return self._mark(), self._mark()
            case _:
                name = self._random.choice(["think", "thought", "reasoning", self._word()])
                blank = self._random.choice(["", "\n"])
                return (
                    f"<{name}>{blank}",
                    f"{blank}</{name}>{self._random.choice(['', chr(10) * 2])}",
                )

    def _blank_or_mark(self) -> str:
        return self._random.choice(["\n", self._mark()])

    def _ending(self) -> str:
        return self._random.choice(
            ["<|end|>\n", f"<|{self._word()}|>", f"[/{self._word().upper()}]\n"]
        )

    def _mark(self) -> str:
        word = self._word()
        mark = self._random.choice(
            [
                f"<{word}>",
                f"<|{word}|>",
                f"<{word}_begin>",
                f"[{word.upper()}]",
                f"<|{word}_{self._word()}|>",
                f"</{word}>",
                f"<{word}:{self._word()}>",
            ]
        )
        before = self._random.choice(["", "", "", "\n", "\n\n", " "])
        after = self._random.choice(["", "", "", "\n", "\n\n", " "])
        return before + mark + after

    def _word(self) -> str:
        return "".join(self._random.choice(_LETTERS) for _ in range(self._random.randint(4, 7)))

    def _one_in(self, number: int) -> bool:
        return self._random.randrange(number) == 0

    def _note(self, feature: str) -> None:
        self._features.append(feature)


def _literal(text: str) -> str:
    """Jinja that writes this text."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"{{{{ '{escaped}' }}}}" if text else ""
