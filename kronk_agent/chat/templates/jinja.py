"""Jinja as Hugging Face chat templates expect it."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn, cast

import markupsafe
from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment

from kronk_agent.confined import Answer, Confined, ConfinedError
from kronk_agent.errors import ModelError
from kronk_agent.messages import JsonObject, JsonValue

RENDER_SECONDS: Final = 5.0
"""Processor time of one rendering; ordinary ones take milliseconds."""
MEMORY_MIB: Final = 512
MAX_OUTPUT: Final = 32_000_000
"""Characters of one prompt."""
_MAX_SOURCE: Final = 1_000_000


class TemplateRefusal(Exception):
    """A template raised; the text is what it says itself."""


class TemplateLimitError(ModelError):
    """A template took too much time or memory, or wrote too much."""


class Templates:
    """Chat templates, rendered in a process of their own that is killed when one takes too much.

    It starts with the first rendering, and anew after one that was stopped. Safe on any thread.

    Args:
        sources: their Jinja.

    Raises:
        ModelError: one is not valid Jinja.
    """

    def __init__(self, *sources: str) -> None:
        for source in sources:
            check_template(source)
        self._sources = sources
        self._lock = threading.Lock()
        self._process = self._new_process()

    def render(self, number: int, variables: JsonObject) -> str:
        """What the template of this number makes of its variables. It can reach nothing else.

        Raises:
            TemplateRefusal: with the template's own message.
            TemplateLimitError: it took too much time or memory, or wrote too much.
        """
        with self._lock:
            process = self._process
        try:
            reply = process.ask([number, variables], seconds=RENDER_SECONDS)
        except ConfinedError as error:
            with self._lock:
                if self._process is process:
                    self._process = self._new_process()
            raise TemplateLimitError(f"the model's chat template failed: it {error}") from error
        match reply:
            case [str(text), None]:
                return text
            case [None, str(refusal)]:
                raise TemplateRefusal(refusal)
            case _:
                raise TemplateLimitError(
                    f"the model's chat template wrote more than {MAX_OUTPUT} characters"
                )

    def _new_process(self) -> Confined:
        return Confined(f"{__name__}:open_renderer", *self._sources, memory_mib=MEMORY_MIB)


def open_renderer(*sources: str) -> Answer:
    """Renders templates, in the process of their own."""
    compiled: dict[int, Template] = {}

    def answer(question: JsonValue) -> JsonValue:
        number, variables = cast("tuple[int, dict[str, object]]", question)
        try:
            if number not in compiled:  # which computes what is constant, so it counts as rendering
                compiled[number] = _environment().from_string(sources[number])
            text = compiled[number].render(**variables)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # boundary: a template is foreign code
            return [None, str(error)]
        return [text, None] if len(text) <= MAX_OUTPUT else [None, None]

    return answer


def check_template(source: str) -> None:
    """Check that it is valid Jinja, without compiling it: constants would be computed.

    Raises:
        ModelError: it is not, or it is too long.
    """
    if len(source) > _MAX_SOURCE:
        raise ModelError(
            f"the model's chat template has {len(source)} characters and may have {_MAX_SOURCE}"
        )
    try:
        _environment().parse(source)
    except TemplateSyntaxError as error:
        raise ModelError(
            f"the model's chat template has an error in line {error.lineno}: {error.message}"
        ) from error
    except RecursionError:
        raise ModelError("the model's chat template is nested too deep") from None


def read_template(file: Path) -> str:
    """The Jinja of a chat template that a person keeps in a file.

    Raises:
        ModelError: it cannot be read, is not UTF-8 or not valid Jinja; names the file.
    """
    try:
        source = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(f"the chat template {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"the chat template {file} is not UTF-8 text") from error
    try:
        check_template(source)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    return source


def _environment() -> SandboxedEnvironment:
    # Not the immutable one: some templates append to lists, and what they are given is theirs.
    environment = SandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationTag],
    )
    environment.filters["tojson"] = _to_json
    # Plain text: what is joined to Jinja's own `Markup` is escaped for HTML.
    environment.filters["safe"] = str
    environment.filters["escape"] = environment.filters["e"] = _escape
    environment.filters["from_json"] = json.loads
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


class _GenerationTag(Extension):
    """``{% generation %}`` marks for training what the assistant says; here it does nothing."""

    tags = {"generation"}  # noqa: RUF012  # an annotation would not match Extension's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON. Jinja's own filter would escape for HTML."""
    text = json.dumps(
        value,
        ensure_ascii=False,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=list,  # Jinja's filters give generators
    )
    if not ensure_ascii:
        return text
    # Private-use characters stay as they are: they may stand for others (special_tokens.py).
    return "".join(c if c.isascii() or c >= "\U000f0000" else json.dumps(c)[1:-1] for c in text)


def _escape(value: object) -> str:
    return str(markupsafe.escape(value))


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
