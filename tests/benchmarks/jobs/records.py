"""Results of jobs, in a file that outlives an interruption."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Key: TypeAlias = tuple[str, str, str, int]
"""Model, system, job and seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job, done once by one system."""

    model: str
    system: str
    job: str
    seed: int
    job_class: str
    problem: str | None
    """Why it is not solved; None when it is."""
    answers: list[str]
    ends: list[str]
    steps: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float
    trace: str
    """File of the conversation, relative to the run's folder."""

    @property
    def key(self) -> Key:
        return self.model, self.system, self.job, self.seed


@dataclass(slots=True)
class Records:
    """The records of a run; of two with the same key the later one counts."""

    folder: Path
    by_key: dict[Key, Record] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Records:
        """What is in the folder; a line that an interruption cut off is left out."""
        records = cls(folder)
        if records._path.is_file():
            for line in records._path.read_text(encoding="utf-8").splitlines():
                try:
                    record = Record(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                records.by_key[record.key] = record
        return records

    def add(self, record: Record) -> None:
        self.by_key[record.key] = record
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(record)) + "\n")

    @property
    def _path(self) -> Path:
        return self.folder / "results.jsonl"
