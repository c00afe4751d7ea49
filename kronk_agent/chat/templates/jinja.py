"""Jinja environment for chat templates, as Hugging Face defines it, in a confined process."""

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
"""Processor time of one rendering; normal ones take milliseconds."""
MEMORY_MIB: Final = 512
"""Memory of the rendering process."""
MAX_OUTPUT: Final = 32_000_000
"""Characters of one prompt."""
_MAX_SOURCE: Final = 1_000_000


class TemplateRefusal(Exception):
    """A template raised an exception; the text is the template's own message."""


class TemplateLimitError(ModelError):
    """A template exceeded its time, memory or output limit."""


class Templates:
    """Chat templates, rendered in a separate process that is killed when one exceeds its limits.

    The process starts with the first rendering, and again after it was killed. Safe on any thread.

    Args:
        sources: Jinja source of each template.

    Raises:
        ModelError: a source is not valid Jinja.
    """

    def __init__(self, *sources: str) -> None:
        for source in sources:
            check_template(source)
        self._sources = sources
        self._lock = threading.Lock()
        self._process = self._new_process()

    def render(self, number: int, variables: JsonObject) -> str:
        """Render a template with these variables; it has access to nothing else.

        Args:
            number: index into ``sources``.
            variables: by name.

        Raises:
            TemplateRefusal: with the template's own message.
            TemplateLimitError: the template exceeded its time, memory or output limit.
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
    """Return the function that renders templates inside the confined process."""
    compiled: dict[int, Template] = {}

    def answer(question: JsonValue) -> JsonValue:
        number, variables = cast("tuple[int, dict[str, object]]", question)
        try:
            if number not in compiled:  # compiling evaluates constants, so it counts as rendering
                compiled[number] = _environment().from_string(sources[number])
            text = compiled[number].render(**variables)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # boundary: a template is foreign code
            return [None, str(error)]
        return [text, None] if len(text) <= MAX_OUTPUT else [None, None]

    return answer


def check_template(source: str) -> None:
    """Check that a source is valid Jinja, without compiling it, which would evaluate constants.

    Raises:
        ModelError: it is not valid, or too long.
    """
    if len(source) > _MAX_SOURCE:
        raise ModelError(
            f"the model's chat template: at most {_MAX_SOURCE} characters, got {len(source)}"
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
    """Read the Jinja source of a chat template from a user's file.

    Raises:
        ModelError: the file cannot be read, or is not UTF-8 or valid Jinja; names the file.
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
    # Not ImmutableSandboxedEnvironment: some templates append to lists. Their variables are copies.
    environment = SandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationTag],
    )
    environment.filters["tojson"] = _to_json
    # Plain str: text joined to Jinja's `Markup` would be escaped for HTML.
    environment.filters["safe"] = str
    environment.filters["escape"] = environment.filters["e"] = _escape
    environment.filters["from_json"] = json.loads
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


class _GenerationTag(Extension):
    """``{% generation %}`` tag, which selects text for training; rendered as its content."""

    tags = {"generation"}  # noqa: RUF012  # an annotation would not match Extension's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the nodes inside the tag."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return plain JSON; Jinja's own filter would escape for HTML."""
    text = json.dumps(
        value,
        ensure_ascii=False,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=list,  # Jinja's filters return generators
    )
    if not ensure_ascii:
        return text
    # Private-use characters stay unescaped: they may stand for others (special_tokens.py).
    return "".join(c if c.isascii() or c >= "\U000f0000" else json.dumps(c)[1:-1] for c in text)


def _escape(value: object) -> str:
    return str(markupsafe.escape(value))


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
