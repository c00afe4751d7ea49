"""A time limit that strikes fails one test, wherever it strikes, and the session goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from limits import FACTOR, FACTOR_VARIABLE, LEAST_FACTOR, seconds

pytest_plugins = ("pytester",)

FINALIZERS_PARSE = """
import ast, gc

class Leak:
    num_left = 3000

    def __init__(self):
        self.me = self  # only the collector frees it

    def __del__(self):
        Leak.num_left -= 1
        if Leak.num_left:
            Leak()
        ast.parse("x")  # as the traceback of a finalizer that fails does

def deep(depth):
    if not depth:
        gc.set_threshold(50, 1, 1)
        Leak()
        while True:
            pass
    return deep(depth - 1) + 1

def test_hangs():
    deep(50)
"""

HANGS_IN_A_CALLBACK = """
import asyncio

def spin():
    while True:
        pass

async def test_hangs():
    asyncio.get_running_loop().call_soon(spin)
    await asyncio.Event().wait()
"""

HANGS_IN_SETUP = """
import pytest

@pytest.fixture
def stuck():
    while True:
        pass

def test_hangs(stuck):
    pass
"""

HANGS_IN_TEARDOWN = """
import pytest

@pytest.fixture
def stuck():
    yield
    while True:
        pass

def test_hangs(stuck):
    pass
"""

SLOW_REPORTS = """
import time, pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    time.sleep(1.5)
    return (yield)
"""
FAILING_REPORTS = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call):
    report = yield
    if call.excinfo:
        raise SystemError("AST constructor recursion depth mismatch")
    return report
"""


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, test: str) -> pytest.RunResult:
    """Run the test and one after it in a session of their own, with a limit of a second."""
    monkeypatch.setenv(FACTOR_VARIABLE, "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyprojecttoml(
        "[tool.pytest.ini_options]\n"
        "asyncio_mode = 'auto'\n"
        "asyncio_default_fixture_loop_scope = 'function'\n"
        "timeout = 1\n"
    )
    pytester.makepyfile(f"{test}\n\ndef test_next():\n    pass\n")
    plugins = ("-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "limits")
    return pytester.runpytest_subprocess(*plugins, timeout=seconds(30))


@pytest.mark.parametrize(
    ("test", "outcomes"),
    [
        (FINALIZERS_PARSE, {"failed": 1, "passed": 1}),
        (HANGS_IN_A_CALLBACK, {"failed": 1, "passed": 1}),
        (HANGS_IN_SETUP, {"errors": 1, "passed": 1}),
        (HANGS_IN_TEARDOWN, {"errors": 1, "passed": 2}),
    ],
    ids=["while finalizers parse", "in a callback of asyncio", "in setup", "in teardown"],
)
def test_a_test_that_hangs_fails_and_the_next_one_runs(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    test: str,
    outcomes: dict[str, int],
) -> None:
    result = run(pytester, monkeypatch, test)

    assert "Timeout (>1.0s) from pytest-timeout." in result.stdout.str()
    assert result.parseoutcomes() == outcomes


@pytest.mark.parametrize("hooks", [SLOW_REPORTS, FAILING_REPORTS])
def test_a_report_that_is_slow_or_fails_fails_one_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, hooks: str
) -> None:
    pytester.makeconftest(hooks)

    result = run(pytester, monkeypatch, "def test_fails():\n    assert 0, 'the reason'\n")

    assert "AssertionError: the reason" in result.stdout.str()
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}


def test_every_wait_in_the_tests_has_a_limit_that_is_scaled() -> None:
    tests = Path(__file__).parent
    unscaled = [
        f"{path.relative_to(tests)}:{number}"
        for path in tests.rglob("test_*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\bfail_after\([1-9]", line)
    ]

    assert unscaled == [], "use fail_after(seconds(5)), from limits.py"


def test_limits_are_scaled_by_what_the_machine_needs_or_the_environment_says() -> None:
    assert seconds(2) == 2 * FACTOR
    assert FACTOR >= LEAST_FACTOR
