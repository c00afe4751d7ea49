"""pydantic fields derived from the dataclasses that declare options.

An option is declared once, with type, range, default and docstring, in ``kronk_agent.settings`` or
``AgentOptions``; the YAML sections and the requests of HTTP protocols get theirs from here.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar, get_type_hints

import pydantic
from pydantic import BaseModel

_ModelT = TypeVar("_ModelT", bound=BaseModel)


def section_of(
    source: type, base: type[_ModelT], *, leave_out: Collection[str] = ()
) -> type[_ModelT]:
    """A model with a field for each field of a dataclass: same type, range, default and docstring.

    Args:
        source: the dataclass.
        base: what the model extends.
        leave_out: names of fields that it does not get.
    """
    hints = get_type_hints(source, include_extras=True)
    return _model(
        source,
        base,
        {field.name: (hints[field.name], _default(field)) for field in _fields(source, leave_out)},
    )


def optional_fields_of(
    source: type, base: type[_ModelT], *, leave_out: Collection[str] = ()
) -> type[_ModelT]:
    """A model with the fields of a dataclass, each of which may be left out or null.

    The ranges are not checked here: the dataclass does, and names the field.

    Args:
        source: the dataclass.
        base: what the model extends.
        leave_out: names of fields that it does not get.
    """
    hints = get_type_hints(source)
    return _model(
        source,
        base,
        {field.name: (hints[field.name] | None, None) for field in _fields(source, leave_out)},
    )


def _model(
    source: type, base: type[_ModelT], definitions: Mapping[str, tuple[Any, Any]]
) -> type[_ModelT]:
    docstrings = attribute_docstrings(source)
    described: dict[str, Any] = {}
    for name, (annotation, default) in definitions.items():
        text = docstrings.get(name)
        description = None if text is None else re.sub(r"\bNone\b", "null", text)
        described[name] = (annotation, pydantic.Field(default, description=description))
    return pydantic.create_model(f"{source.__name__}Fields", __base__=base, **described)


@cache
def attribute_docstrings(source: type) -> Mapping[str, str]:
    """The docstrings below the fields of a class and of its bases; one line each."""
    found: dict[str, str] = {}
    for cls in reversed(source.__mro__[:-1]):
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        assert isinstance(tree.body[0], ast.ClassDef)
        body = tree.body[0].body
        for field, below in pairwise(body):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = " ".join(text.split())
    return found


def _fields(source: type, leave_out: Collection[str]) -> Sequence[Field[Any]]:
    """The other fields of a dataclass; those it declares itself before those of its bases."""
    place = {name: number for number, name in enumerate(inspect.get_annotations(source))}
    chosen = (field for field in fields(source) if field.name not in leave_out)
    return sorted(chosen, key=lambda field: place.get(field.name, len(place)))


def _default(field: Field[Any]) -> object:
    if field.default is not MISSING:
        return field.default
    assert field.default_factory is not MISSING, f"{field.name} has no default"
    return field.default_factory()
