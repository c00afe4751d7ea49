"""Has jobs done, one at a time, by one system after the other."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
from benchmarks.jobs.job import Entry, Job, World
from benchmarks.jobs.records import Record, Records
from benchmarks.jobs.systems import Outcome, System
from loopback_web import loopback_web

_MOST_SECONDS = 900.0
"""For one job; a turn of the bare loop is not interrupted in its middle."""


async def run(
    model: str,
    entries: Sequence[Entry],
    seeds: Sequence[int],
    systems: Sequence[System],
    records: Records,
    *,
    again: bool = False,
) -> None:
    """Do every job with every system, but what is in the records already.

    Args:
        again: also do what is in the records.
    """
    turns = [(seed, entry) for seed in seeds for entry in entries]
    for number, (seed, entry) in enumerate(turns):
        first = number % len(systems)  # nobody always comes first
        for system in (*systems[first:], *systems[:first]):
            if again or (model, system.name, entry.name, seed) not in records.by_key:
                record = await do(model, entry, seed, system, records.folder)
                records.add(record)
                said = "solved" if record.problem is None else record.problem
                where = f"[{number + 1}/{len(turns)}] {entry.name} ({seed}), {system.name}"
                print(f"{where}: {said}, {record.seconds:.0f} s", flush=True)


async def do(model: str, entry: Entry, seed: int, system: System, folder: Path) -> Record:
    """Do one job in a world of its own; its trace goes into the folder."""
    place = Path(tempfile.gettempdir()) / "kronk-jobs" / folder.name / entry.name
    shutil.rmtree(place, ignore_errors=True)
    (place / "files").mkdir(parents=True)
    outcome = Outcome()
    with loopback_web() as web:
        world = World(place / "files", random.Random(f"{entry.name} {seed}"), web, entry.servers)
        job = entry.make(world)
        begin = time.perf_counter()
        failure = await _attempt(system, job, world, outcome)
        seconds = time.perf_counter() - begin
        problem = failure or job.problem(outcome.answers)
    trace = Path("traces") / model / system.name.replace(" ", "-") / f"{entry.name}-{seed}.json"
    _write(folder / trace, {"problem": problem, "ends": outcome.ends, "trace": outcome.trace})
    shutil.rmtree(place)
    return Record(
        model=model,
        system=system.name,
        job=entry.name,
        seed=seed,
        job_class=entry.job_class,
        problem=problem,
        answers=outcome.answers,
        ends=outcome.ends,
        steps=outcome.steps,
        prompt_tokens=outcome.prompt_tokens,
        generated_tokens=outcome.generated_tokens,
        seconds=round(seconds, 2),
        trace=str(trace),
    )


async def _attempt(system: System, job: Job, world: World, outcome: Outcome) -> str | None:
    """Why the system gave up; None when it did not."""
    try:
        with anyio.fail_after(_MOST_SECONDS):
            await system.do(job, world, outcome)
    except TimeoutError:
        return f"not done in {_MOST_SECONDS:.0f} s"
    except Exception as error:  # noqa: BLE001  # boundary: a system may fail in any way
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
