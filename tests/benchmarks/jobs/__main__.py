"""Have jobs done and say what came of it.

    make bench-jobs                                     # all of it: hours on 2 cores
    make bench-jobs ARGS='--only chain retry --models 1.5b --systems ours bare'
    make bench-jobs ARGS='--report'                     # what there is so far

A run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import benchmarks.jobs.cases  # noqa: F401  # fills the catalogue
from benchmarks import weights
from benchmarks.jobs.job import CATALOGUE, CLASSES, Entry
from benchmarks.jobs.records import Records
from benchmarks.jobs.report import report
from benchmarks.jobs.running import run
from benchmarks.jobs.servers import ROOT
from benchmarks.jobs.systems import System

SYSTEMS = ("ours", "bare", "agents", "solution")


def main() -> None:
    options = _options()
    folder = ROOT / "build" / "jobs" / options.run
    folder.mkdir(parents=True, exist_ok=True)
    records = Records.load(folder)
    if not options.report:
        try:
            anyio.run(_run_all, options, records)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here")
    print(report(records))


async def _run_all(options: argparse.Namespace, records: Records) -> None:
    entries = _entries(options.only, options.number)
    paths = {name: _model_path(name) for name in options.models}
    for name, path in paths.items():
        async with AsyncExitStack() as stack:
            systems = [
                await stack.enter_async_context(
                    _open(system, path, options.threads, records.folder)
                )
                for system in options.systems
            ]
            _keep_own_files_in(records.folder)
            await run(name, entries, options.seeds, systems, records, again=options.again)


def _entries(only: Sequence[str], number: int | None) -> list[Entry]:
    """The jobs that were asked for, by their names or classes; so many of each class."""
    if unknown := set(only) - set(CLASSES) - set(CATALOGUE):
        known = ", ".join([*CLASSES, *CATALOGUE])
        raise SystemExit(f"no job and no class is called {min(unknown)!r}; there are {known}")
    chosen = []
    for job_class in CLASSES:
        entries = [
            entry
            for entry in CATALOGUE.values()
            if entry.job_class == job_class
            and (not only or entry.name in only or job_class in only)
        ]
        chosen += entries[:number]
    return chosen


def _model_path(name: str) -> Path:
    path = weights.find(name)
    if path is None:
        raise SystemExit(f"the model {name} is not here: {weights.HOW_TO_GET}")
    return path


@asynccontextmanager
async def _open(
    system: str, model: Path, threads: int | None, folder: Path
) -> AsyncIterator[System]:
    # Each imports what the others do not need.
    match system:
        case "ours":
            from benchmarks.jobs.systems.ours import open_ours

            async with open_ours(model, threads=threads) as ours:
                yield ours
        case "bare":
            from benchmarks.jobs.systems.bare_loop import open_bare_loop

            with open_bare_loop(model, threads=threads) as bare_loop:
                yield bare_loop
        case "agents":
            from benchmarks.jobs.systems.agents_sdk import open_agents_sdk

            async with open_agents_sdk(
                model, threads=threads, log=folder / "llama-server.log"
            ) as agents_sdk:
                yield agents_sdk
        case _:
            from benchmarks.jobs.systems.solution import Solution

            yield Solution()


def _keep_own_files_in(folder: Path) -> None:
    """What the runtime remembers of servers is not mixed with the person's own."""
    for name in ("CACHE", "STATE", "DATA"):
        os.environ[f"XDG_{name}_HOME"] = str(folder / name.casefold())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.jobs", description="Have jobs done.")
    parser.add_argument("--only", nargs="+", default=[], metavar="JOB", help="jobs or classes")
    parser.add_argument("--number", type=int, help="jobs of each class; without it, all")
    parser.add_argument("--models", nargs="+", choices=weights.MODELS, default=["1.5b", "0.5b"])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS[:3]))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="draw names and numbers")
    parser.add_argument("--threads", type=int, help="of the CPU; without it, one for each core")
    parser.add_argument("--run", default="run", help="name of the folder in build/jobs")
    parser.add_argument("--again", action="store_true", help="do also what was done before")
    parser.add_argument("--report", action="store_true", help="only print what there is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
