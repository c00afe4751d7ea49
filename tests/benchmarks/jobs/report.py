"""Tables of what came of a run, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.jobs.job import CLASSES
from benchmarks.jobs.records import Record, Records


def report(records: Records) -> str:
    """A table for each model, and what was not solved."""
    all_records = list(records.by_key.values())
    models = list(dict.fromkeys(record.model for record in all_records))
    parts = []
    for model in models:
        mine = [record for record in all_records if record.model == model]
        parts += [f"### {model}", table(mine), failures(mine, records)]
    return "\n\n".join(parts)


def table(records: Sequence[Record]) -> str:
    """Solved of how many by class and system, and what that took."""
    systems = list(dict.fromkeys(record.system for record in records))
    lines = [f"| | {' | '.join(systems)} |", "|---|" + "---:|" * len(systems)]

    def add(title: str, cell: Callable[[list[Record]], str], job_class: str | None = None) -> None:
        cells = [
            cell([r for r in records if r.system == system and job_class in (None, r.job_class)])
            for system in systems
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")

    present = {record.job_class for record in records}
    for job_class, title in CLASSES.items():
        if job_class in present:
            add(title, _solved, job_class)
    add("**all**", lambda mine: f"**{_solved(mine)}**")
    add("steps a job", lambda mine: f"{_mean(r.steps for r in mine):.1f}")
    add("prompt tokens a job", lambda mine: f"{_mean(r.prompt_tokens for r in mine):,.0f}")
    add("generated tokens a job", lambda mine: f"{_mean(r.generated_tokens for r in mine):,.0f}")
    add("seconds a job", lambda mine: f"{_mean(r.seconds for r in mine):.0f}")
    return "\n".join(lines)


def failures(records: Sequence[Record], kept: Records) -> str:
    """Every job that was not solved, why, and where the trace is."""
    lines = [
        f"- {record.job} ({record.seed}), {record.system}: {record.problem}; "
        f"{kept.folder / record.trace}"
        for record in records
        if record.problem is not None
    ]
    return "\n".join(lines)


def _solved(records: Sequence[Record]) -> str:
    num_solved = sum(record.problem is None for record in records)
    return f"{num_solved} of {len(records)}"


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0
