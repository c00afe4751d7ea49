"""What every measurement is given, what it gives, and how runs of two peers are paired."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from kronk_agent.messages import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is measured, and how thoroughly."""

    model: Path
    """GGUF file of most measurements."""
    large_vocabulary: Callable[[], Path]
    """Where the GGUF file with the large vocabulary is; may download it."""
    threads: int
    is_quick: bool
    """One round and shorter runs: the figures are noisy then."""

    def rounds(self, number: int) -> int:
        return 1 if self.is_quick else number


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to reach."""

    relation: Literal["≥", "≤"]
    value: float

    def is_reached_by(self, value: float) -> bool:
        compare = operator.ge if self.relation == "≥" else operator.le
        return bool(compare(value, self.value))

    def __str__(self) -> str:
        return f"{self.relation} {self.value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A line of the table."""

    key: str
    title: str
    value: float
    ours: str = ""
    theirs: str = ""
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    figures: tuple[Figure, ...]
    raw: JsonObject


Measure: TypeAlias = Callable[[Setup], Awaitable[Measured]]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same run by both peers, several times in turn."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """Ours to theirs: the median of the pairs, each of which ran at about the same time."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def raw(self) -> JsonObject:
        return {"ours": [*self.ours], "theirs": [*self.theirs]}


async def run_in_turn(
    rounds: int, ours: Callable[[int], Awaitable[float]], theirs: Callable[[int], Awaitable[float]]
) -> Pairs:
    """Run both so many times, taking turns at going first. The argument is the round's number."""
    pairs = Pairs([], [])
    for number in range(rounds):
        runs = [(ours, pairs.ours), (theirs, pairs.theirs)]
        for run, results in runs if number % 2 == 0 else runs[::-1]:
            results.append(await run(number))
    return pairs


def percentile(values: list[float], share: float) -> float:
    """The smallest of the values that at least this share of them do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
