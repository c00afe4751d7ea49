"""How fast the engine is, beside llama.cpp's own server built from the same commit. ``make bench``.

    make bench                                                  # everything, about 30 minutes
    make bench BENCH_ARGS='--only aggregate,required_call_49k'  # some
    make bench BENCH_ARGS='--quick'                             # short runs and one round: noisy
    make bench BENCH_ARGS='--model path.gguf'                   # another model

Prints a table, and writes it with the raw figures to ``results/engine-DATE.json``. Run it on a
machine that does nothing else. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path

import anyio
from benchmarks.engine_bench.aggregate import aggregate
from benchmarks.engine_bench.calls import required_call_49k, required_call_262k
from benchmarks.engine_bench.conversations import eight_agents, one_session
from benchmarks.engine_bench.distinct import distinct_contexts
from benchmarks.engine_bench.fairness import short_behind_long
from benchmarks.engine_bench.for_the_record import for_the_record
from benchmarks.engine_bench.kv_types import kv_types
from benchmarks.engine_bench.large_vocabulary import large_vocabulary_model
from benchmarks.engine_bench.measuring import Figure, Measure, Setup
from benchmarks.engine_bench.prefixes import shared_prefix
from benchmarks.engine_bench.python_share import python_share
from benchmarks.engine_bench.report import ResultFile, machine, table, versions
from benchmarks.engine_bench.speculation import speculation
from benchmarks.engine_bench.tiles import tiles

from kronk_agent.messages import JsonObject
from kronk_agent.models.store import starter_model

MEASURES: dict[str, Measure] = {
    "aggregate": aggregate,
    "required_call_49k": required_call_49k,
    "required_call_262k": required_call_262k,
    "eight_agents": eight_agents,
    "one_session": one_session,
    "shared_prefix": shared_prefix,
    "short_behind_long": short_behind_long,
    "python_share": python_share,
    "distinct_contexts": distinct_contexts,
    "speculation": speculation,
    "kv_types": kv_types,
    "tiles": tiles,
    "for_the_record": for_the_record,
}


async def run(setup: Setup, names: list[str]) -> list[Figure]:
    results = ResultFile()
    figures: list[Figure] = []
    for name in names:
        started = time.perf_counter()
        measured = await MEASURES[name](setup)
        results.add(name, measured, is_quick=setup.is_quick)
        figures += measured.figures
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"raw figures: {results.path}", file=sys.stderr)
    return figures


def main() -> None:
    summary = __doc__.partition("\n")[0] if __doc__ else None
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--only", type=_names, default=[*MEASURES], metavar="NAME,…")
    parser.add_argument("--quick", action="store_true", help="short runs and one round")
    parser.add_argument("--model", type=Path, help="GGUF file instead of the starter model")
    parser.add_argument(
        "--large-vocabulary", type=Path, metavar="MODEL", help="GGUF file instead of Gemma 3 270M"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped too
    logging.basicConfig(level=logging.ERROR)
    setup = Setup(
        model=options.model or starter_model(),
        large_vocabulary=options.large_vocabulary or large_vocabulary_model,
        threads=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        is_quick=options.quick,
    )
    figures = anyio.run(run, setup, options.only)
    print(f"{setup.model.name}; {_inline(machine())}; {_inline(versions())}\n")
    print(table(figures))


def _inline(fields: JsonObject) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MEASURES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(MEASURES)}")
    return names


if __name__ == "__main__":
    main()
