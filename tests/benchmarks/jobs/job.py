"""A job: what a person asks, the world it is asked in, and how to tell that it was done.

A job is solved when the world is as it should be at the end and the answer holds the fact that was
asked for. How the answer is worded is never looked at, nor how it was come by.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from loopback_web import LoopbackWeb

from kronk_agent.testing import Turn
from kronk_agent.tools import Tool

CLASSES = {
    "read": "read and answer",
    "write": "write, then verify",
    "chain": "2 to 6 dependent calls",
    "retry": "an error that must be retried",
    "no_tool": "no tool is needed",
    "forbidden": "a tool that must not be called",
    "crowd": "40 irrelevant tools beside the right ones",
    "long": "a result of 20,000 tokens",
    "conversation": "two jobs in one conversation",
}
"""Names of the classes of jobs, and what they are called in the report."""

Check: TypeAlias = Callable[[Sequence[str]], str | None]
"""Given the answers, one for each prompt: what is wrong, or None."""


@dataclass(frozen=True, slots=True)
class World:
    """Where one job is done by one system; made anew for each."""

    folder: Path
    """Empty at the beginning; what servers work in."""
    draw: random.Random
    """Draws the job's names and numbers. The same for every system."""
    web: LoopbackWeb
    servers: tuple[str, ...] = ()
    """MCP servers that run here, by their names in ``servers.SERVERS``."""

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        """A file's text; empty where there is no such file."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job in its world."""

    prompts: tuple[str, ...]
    """The person's messages, each sent when the one before is answered."""
    checks: tuple[Check, ...]
    solution: tuple[Sequence[Turn], ...] = field(repr=False)
    """For each prompt, the turns of a model that solves the job. They prove that it can be."""
    tools: tuple[Tool, ...] = ()
    """Tools that are Python functions."""
    has_web: bool = False
    """True if web_search and web_fetch are available."""

    def problem(self, answers: Sequence[str]) -> str | None:
        """Why the job is not solved; None when it is."""
        if len(answers) < len(self.prompts):
            return f"only {len(answers)} of {len(self.prompts)} prompts were answered"
        for answer in answers:
            if not answer.strip():
                return "the answer is empty"
            if _is_call(answer):
                return "the answer is a call"
        return next((found for check in self.checks if (found := check(answers))), None)


def _is_call(answer: str) -> bool:
    text = re.sub(r"^```\w*|```$|</?tool_call>", "", answer.strip()).strip()
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and "name" in value and "arguments" in value


# --- the catalogue -------------------------------------------------------------------------------

MakeJob: TypeAlias = Callable[[World], Job]


@dataclass(frozen=True, slots=True)
class Entry:
    """A job of the catalogue, not yet in a world."""

    name: str
    job_class: str
    servers: tuple[str, ...]
    """Those its world has."""
    make: MakeJob
    """Prepares the world and gives the job."""


CATALOGUE: dict[str, Entry] = {}


def job(job_class: str, *, servers: tuple[str, ...] = ()) -> Callable[[MakeJob], MakeJob]:
    """Put a function that makes a job into the catalogue, under its own name."""
    assert job_class in CLASSES

    def add(make: MakeJob) -> MakeJob:
        name = make.__name__
        assert name not in CATALOGUE, f"two jobs are called {name}"
        CATALOGUE[name] = Entry(name, job_class, servers, make)
        return make

    return add


# --- checks --------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)


def says(*alternatives: str, answer: int = -1) -> Check:
    """The answer has one of these words or phrases; case, markup and blanks do not matter."""
    wanted = [_normalised(text) for text in alternatives]

    def check(answers: Sequence[str]) -> str | None:
        text = _normalised(answers[answer])
        if any(re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) for words in wanted):
            return None
        return f"the answer does not say {' or '.join(alternatives)}"

    return check


def says_number(value: float, *, within: float = 0.0, answer: int = -1) -> Check:
    """The answer has this number, in digits or as a word."""

    def check(answers: Sequence[str]) -> str | None:
        if any(abs(number - value) <= within + 1e-9 for number in _numbers(answers[answer])):
            return None
        return f"the answer does not say {value:g}"

    return check


def holds(is_right: Callable[[], bool], problem: str) -> Check:
    """The world is as it should be, as told by a function that looks when the job is over."""
    return lambda _: None if is_right() else problem


def _normalised(text: str) -> str:
    return " ".join(re.sub(r"[*_`]", "", text).casefold().split())


def _numbers(text: str) -> list[float]:
    digits = [float(found.replace(",", "")) for found in _NUMBER.findall(text)]
    words = re.findall(r"[a-z]+", text.casefold())
    return digits + [float(_NUMBER_WORDS.index(word)) for word in words if word in _NUMBER_WORDS]
