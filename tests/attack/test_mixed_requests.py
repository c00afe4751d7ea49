"""A few requests of all kinds; ``python -m attack.mixed_requests`` sends many."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack.mixed_requests import SAMPLES, check, run

DOOR = "requests of all kinds"


@pytest.mark.e2e
def test_the_server_answers_all_of_them(tmp_path: Path) -> None:
    samples, requests = run(200, tmp_path)

    check(samples, requests)
    assert len(samples) == SAMPLES
    assert len({kind for kind, _ in requests.answers}) == 13
