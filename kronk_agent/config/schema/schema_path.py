"""Looks up settings in the schema by key path."""

from __future__ import annotations

import types
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kronk_agent.config.schema.config import Config

_Type: TypeAlias = object
"""A type in an annotation: a class, or a generic such as ``dict[str, Path]``."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the configuration, or an item of a list or of a mapping with user-defined keys."""

    kinds: tuple[_Type, ...]
    """The allowed types; several for a union."""
    is_secret: bool = False
    """True if the value must be masked."""

    def below(self, key: str | int) -> Setting | None:
        """Return the setting of a key or index below this one; None if the schema has none."""
        if self.sections:
            field = self.fields.get(str(key))
            if field is None:
                return None
            return Setting(_members(field.annotation), self.is_secret or not field.repr)
        for kind in self.kinds:
            if get_origin(kind) is dict:
                return Setting(_members(get_args(kind)[1]), self.is_secret)
            if get_origin(kind) is tuple:
                return Setting(_members(get_args(kind)[0]), self.is_secret)
        return None

    @property
    def sections(self) -> tuple[type[BaseModel], ...]:
        """The sections among the allowed types, whose keys are fixed."""
        return tuple(s for kind in self.kinds if (s := _as_section(kind)) is not None)

    @property
    def fields(self) -> dict[str, FieldInfo]:
        """The fields of the sections, by name."""
        return {name: f for s in self.sections for name, f in s.model_fields.items()}

    @property
    def is_mapping(self) -> bool:
        """True if a mapping is allowed."""
        return bool(self.sections) or any(get_origin(kind) is dict for kind in self.kinds)

    @property
    def takes_null(self) -> bool:
        """True if null is allowed."""
        return types.NoneType in self.kinds

    @property
    def takes_text(self) -> bool:
        """True if text is allowed."""
        is_list = any(get_origin(kind) is tuple for kind in self.kinds)
        is_only_mapping = self.is_mapping and Path not in self.kinds
        return not (is_only_mapping or is_list or {bool, int, float} & set(self.kinds))


ROOT = Setting((Config,))


def setting_at(path: tuple[str | int, ...]) -> Setting | None:
    """Return the setting at a key path; None if the schema has none."""
    setting: Setting | None = ROOT
    for key in path:
        setting = setting and setting.below(key)
    return setting


def _as_section(kind: _Type) -> type[BaseModel] | None:
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _members(annotation: _Type) -> tuple[_Type, ...]:
    """Return the members of a union, without annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return tuple(kind for part in get_args(annotation) for kind in _members(part))
    return (annotation,)
