"""A full disk, a folder that cannot be written, and two servers on one folder lose nothing."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attack.support import add, begin, client, serving, texts
from limits import seconds

DOOR = "full disks and shared folders"

KIB = 1024
MODEL = "SmolLM2-135M-Instruct.Q4_1"
CONFIG = "tools: []\nmodel: null\n"

pytestmark = pytest.mark.e2e


def with_files_up_to(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_refuses_what_is_new_and_keeps_what_was_said(tmp_path: Path) -> None:
    kept = []
    refused = 0
    with serving(tmp_path, CONFIG, before=with_files_up_to(256 * KIB)) as program:
        with client(program) as http:
            id = begin(http)
            for number in range(100):
                text = f"{number} " + "x" * 10 * KIB
                refused = add(http, id, text).status_code
                if refused != 200:
                    break
                kept.append(text)
            health = http.get("/health").status_code
            seen = texts(http, id)
        program.process.terminate()
        program.process.wait(timeout=seconds(20))
        assert program.process.stderr is not None
        log = program.process.stderr.read()
    with serving(tmp_path, CONFIG) as program, client(program) as http:
        later = add(http, id, "There is room again.").status_code
        after = texts(http, id)

    assert (refused, health, later) == (500, 200, 200)
    assert kept
    assert seen == kept
    assert after == [*kept, "There is room again."]
    assert "sessions.db failed: " in log
    assert "Traceback" not in log


_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1


def where_nothing_can_be_written(home: Path) -> Callable[[], None]:
    """Also not by root, whom a folder's mode does not keep out."""

    def before() -> None:
        home.chmod(0o500)
        if os.geteuid() == 0:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE)

    return before


@pytest.mark.skipif(sys.platform != "linux", reason="root's rights are dropped as Linux has it")
def test_where_nothing_can_be_written_the_server_says_so_and_serves(tmp_path: Path) -> None:
    before = where_nothing_can_be_written(tmp_path)
    with serving(tmp_path, CONFIG, before=before) as program, client(program) as http:
        refused = http.post("/v1/conversations", json={})
        tokens = http.post("/v1/tokenize", json={"model": MODEL, "input": "Hi"})
        health = http.get("/health")
        program.process.terminate()
        program.process.wait(timeout=seconds(20))
        assert program.process.stderr is not None
        log = program.process.stderr.read()
    tmp_path.chmod(0o700)

    assert (refused.status_code, tokens.status_code, health.status_code) == (500, 200, 200)
    assert "kronk-agent/sessions.db cannot be written: Permission denied" in log
    assert "Traceback" not in log


def test_two_servers_on_one_folder_see_the_same(tmp_path: Path) -> None:
    with (
        serving(tmp_path, CONFIG) as one,
        serving(tmp_path, CONFIG) as other,
        client(one) as first,
        client(other) as second,
    ):
        id = begin(first)
        for number in range(10):
            assert add(first, id, f"first {number}").status_code == 200
            assert add(second, id, f"second {number}").status_code == 200
        seen = texts(first, id), texts(second, id)

    said = [f"{who} {number}" for number in range(10) for who in ("first", "second")]
    assert seen == (said, said)
