"""A few kills; ``python -m attack.kills`` makes many."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack.kills import kill

DOOR = "kill -9 while it writes"


@pytest.mark.e2e
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    kill(4, tmp_path)
