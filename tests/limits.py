"""Time limits of the tests: one factor scales them all, and a limit that strikes fails one test.

A pytest plugin on top of pytest-timeout, loaded by ``conftest.py``. Limits are written for an idle
machine and only end what hangs; ``KRONK_TEST_TIMEOUT_FACTOR`` replaces the measured factor.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Generator
from typing import TypeVar

import pytest
import pytest_timeout

T = TypeVar("T")

FACTOR_VARIABLE = "KRONK_TEST_TIMEOUT_FACTOR"
LEAST_FACTOR = 4.0  # load may come after the measurement
MOST_FACTOR = 100.0
_REFERENCE_SECONDS = 0.15
"""Time of ``_work`` on an idle core of 2024."""

_SETTINGS = pytest.StashKey[pytest_timeout.Settings]()


def seconds(on_an_idle_machine: float) -> float:
    """Scale a time limit in seconds to the machine that runs the tests."""
    return on_an_idle_machine * FACTOR


def _factor() -> float:
    """Read the factor from the environment, or measure how slow this machine is right now."""
    if given := os.environ.get(FACTOR_VARIABLE):
        return float(given)
    started_at = time.perf_counter()
    _work()
    slowness = (time.perf_counter() - started_at) / _REFERENCE_SECONDS
    return min(max(1.0, slowness) * LEAST_FACTOR, MOST_FACTOR)


def _work() -> int:
    return sum(len(str(number)) for number in range(2_000_000))


FACTOR = _factor()


def pytest_report_header() -> str:
    return f"time limits: {FACTOR:.1f} times those written ({FACTOR_VARIABLE} sets the factor)"


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> bool:
    """Keep the limit for each phase of the test, instead of one timer around all of them."""
    item.stash[_SETTINGS] = settings._replace(timeout=seconds(settings.timeout))
    return True


def _limited(item: pytest.Item) -> Generator[None, T, T]:
    """Run a phase (setup, call or teardown) under the test's limit.

    pytest turns what is raised inside a phase into a failure of the test; between phases, where
    reports are made, it ends the session.
    """
    settings = item.stash.get(_SETTINGS, None)
    if settings is None:
        return (yield)
    pytest_timeout.pytest_timeout_set_timer(item, settings)
    if settings.method == "signal":  # strike again where asyncio logs the failure and goes on
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, settings.timeout)
    try:
        return (yield)
    finally:
        pytest_timeout.pytest_timeout_cancel_timer(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, T, T]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, T, T]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, T, T]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a failure in short where its traceback cannot be formatted.

    CPython 3.11 raises "AST constructor recursion depth mismatch" when the garbage collector runs
    while pytest parses a source file, and a finalizer fails. So it does not run here.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    except Exception as error:  # noqa: BLE001  # boundary: it would end the session
        return _short_report(item, call, error)
    finally:
        if was_enabled:
            gc.enable()


def _short_report(
    item: pytest.Item, call: pytest.CallInfo[None], error: Exception
) -> pytest.TestReport:
    assert call.when != "collect"
    failure = call.excinfo.exconly() if call.excinfo else "The test passed."
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=f"{failure}\nIts report could not be made: {error!r}",
        when=call.when,
        duration=call.duration,
        start=call.start,
        stop=call.stop,
    )
