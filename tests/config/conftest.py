"""A configuration file to write to."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file of a test is; nothing is there yet."""
    return tmp_path / "config.yaml"
