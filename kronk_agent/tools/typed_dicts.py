"""``typing.TypedDict`` in signatures, which pydantic supports only from Python 3.12 on."""

from __future__ import annotations

import sys
import types
import typing
from typing import Annotated, Any, Union, get_args, get_origin, is_typeddict

import typing_extensions

_IS_SUPPORTED = sys.version_info >= (3, 12)


def usable_annotation(annotation: Any) -> Any:
    """Replace each ``typing.TypedDict`` by one of ``typing_extensions``."""
    return annotation if _IS_SUPPORTED else _converted(annotation, {})


def _converted(annotation: Any, done: dict[Any, Any]) -> Any:
    if is_typeddict(annotation):
        return _typed_dict(annotation, done)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not arguments or origin is typing.Literal:
        return annotation
    if origin is Annotated:
        return Annotated[_converted(arguments[0], done), *arguments[1:]]
    converted = tuple(
        [_converted(each, done) for each in argument]
        if isinstance(argument, list)
        else _converted(argument, done)
        for argument in arguments
    )
    if converted == arguments:
        return annotation
    if origin in (Union, types.UnionType):
        return Union[converted]  # noqa: UP007  # from a tuple
    generic: Any = origin
    return generic[converted] if isinstance(origin, type) else annotation.copy_with(converted)


def _typed_dict(source: Any, done: dict[Any, Any]) -> Any:
    if source in done:
        return done[source]
    # Registered before its fields are converted: one of them may be of the same type.
    target = done[source] = typing_extensions.TypedDict(source.__name__, {})  # type: ignore[operator]
    hints = typing.get_type_hints(source, include_extras=True)
    target.__annotations__.update({name: _converted(hint, done) for name, hint in hints.items()})
    required = {name for name, hint in hints.items() if _is_required(name, hint, source)}
    target.__required_keys__ = frozenset(required)
    target.__optional_keys__ = frozenset(hints) - required
    target.__doc__, target.__module__ = source.__doc__, source.__module__
    return target


def _is_required(name: str, hint: Any, source: Any) -> bool:
    # Python 3.11 does not evaluate NotRequired and Required in postponed annotations.
    origin = get_origin(hint)
    if origin in (typing.NotRequired, typing.Required):
        return origin is typing.Required
    return name in source.__required_keys__
