"""Data files of ``configs/``: inside an installed package, next to it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def read_shipped(name: str) -> str:
    """Read a file of ``configs/``, such as ``default.yaml``."""
    inside = _PACKAGE / "configs" / name
    file = inside if inside.is_file() else _PACKAGE.parent / "configs" / name
    return file.read_text(encoding="utf-8")
