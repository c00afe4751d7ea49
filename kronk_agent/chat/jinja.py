"""Jinja as Hugging Face chat templates expect it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment

from kronk_agent.errors import ModelError


class TemplateRefusal(Exception):
    """A template raised; the text is what it says itself."""


def compile_template(source: str) -> Callable[..., str]:
    """A function from a template's variables to its text. The template can reach nothing else.

    The function raises ``TemplateRefusal`` where the template raises.

    Raises:
        ModelError: the template is not valid Jinja.
    """
    try:
        template: Template = _environment().from_string(source)
    except TemplateSyntaxError as error:
        raise ModelError(
            f"the model's chat template has an error in line {error.lineno}: {error.message}"
        ) from error

    def render(**variables: object) -> str:
        try:
            return template.render(**variables)
        except Exception as error:  # boundary: a template is foreign code
            raise TemplateRefusal(str(error)) from error

    return render


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
        compile_template(source)
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


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
