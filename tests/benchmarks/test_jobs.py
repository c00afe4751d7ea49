"""The benchmark of jobs: every job can be solved, and nothing but the right end solves it."""

from __future__ import annotations

import random
from pathlib import Path

import benchmarks.jobs.cases  # noqa: F401  # fills the catalogue
import pytest
from benchmarks.jobs.job import CATALOGUE, CLASSES, Job, World, says, says_number
from benchmarks.jobs.records import Records
from benchmarks.jobs.report import table
from benchmarks.jobs.running import do, run
from benchmarks.jobs.servers import is_installed
from benchmarks.jobs.systems import Outcome
from benchmarks.jobs.systems.bare_loop import read_calls
from benchmarks.jobs.systems.solution import Solution
from loopback_web import LoopbackWeb

from kronk_agent.messages import JsonObject

OVER_SERVERS = {"door_code", "change_the_port", "customers_from"}
"""Jobs that stand for all with servers, which take a second each to start;
``make bench-jobs ARGS='--systems solution'`` does them all."""


@pytest.fixture
def world(tmp_path: Path, web: LoopbackWeb) -> World:
    (tmp_path / "files").mkdir()
    return World(tmp_path / "files", random.Random("a draw"), web)


def test_every_class_has_four_jobs_or_more_and_all_together_thirty() -> None:
    classes = [entry.job_class for entry in CATALOGUE.values()]

    assert len(classes) >= 30
    assert {name: classes.count(name) >= 4 for name in CLASSES} == dict.fromkeys(CLASSES, True)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_job_is_not_solved_by_saying_nothing(name: str, world: World) -> None:
    job = CATALOGUE[name].make(world)

    assert job.problem(["I do not know."] * len(job.prompts))
    assert job.problem([""] * len(job.prompts)) == "the answer is empty"
    assert job.problem([]) == f"only 0 of {len(job.prompts)} prompts were answered"


@pytest.mark.parametrize(
    "name",
    [name for name, entry in CATALOGUE.items() if not entry.servers or name in OVER_SERVERS],
)
@pytest.mark.usefixtures("own_folders")
async def test_a_job_is_solved_by_its_solution(name: str, tmp_path: Path) -> None:
    servers = CATALOGUE[name].servers
    if missing := [server for server in servers if not is_installed(server)]:
        pytest.skip(f"needs MCP servers that are not installed: {missing}; see `make bench-jobs`")

    record = await do("none", CATALOGUE[name], 1, Solution(), tmp_path)

    assert record.problem is None
    assert (tmp_path / record.trace).is_file()


async def test_a_right_answer_does_not_solve_a_job_whose_state_is_wrong(world: World) -> None:
    job = CATALOGUE["notes_then_one_more"].make(world)

    assert job.problem(["You have 2 notes.", "Now there are 3."]) == "the note was not added once"


@pytest.mark.parametrize(
    ("answer", "is_there"),
    [
        ("It costs 1,234 euros.", True),
        ("**1234**", True),
        ("1234.00", True),
        ("12345", False),
        ("123 and 4", False),
        ("", False),
    ],
)
def test_a_number_is_found_however_it_is_written(answer: str, is_there: bool) -> None:
    assert (says_number(1234)([answer]) is None) == is_there


@pytest.mark.parametrize(
    ("answer", "is_there"),
    [
        ("It is the *Tea  Kettle*.", True),
        ("tea\nkettle", True),
        ("a kettle for tea", False),
        ("tea kettles", False),
    ],
)
def test_words_are_found_whatever_is_around_them(answer: str, is_there: bool) -> None:
    assert (says("tea kettle")([answer]) is None) == is_there


def test_a_small_number_is_also_found_as_a_word() -> None:
    assert says_number(3)(["There are three notes."]) is None


class Silent:
    """A system that says nothing, and counts how often it was asked."""

    name = "silent"

    def __init__(self) -> None:
        self.num_asked = 0

    async def do(self, job: Job, world: World, outcome: Outcome) -> None:
        self.num_asked += 1
        raise RuntimeError("out of words")


async def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    entries = [CATALOGUE["order_status"], CATALOGUE["a_capital"]]
    system = Silent()
    await run("none", entries[:1], [1], [system], Records.load(tmp_path))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"model": "none", "sys')

    records = Records.load(tmp_path)
    await run("none", entries, [1], [system], records)

    assert system.num_asked == 2
    assert [record.problem for record in records.by_key.values()] == [
        "RuntimeError: out of words"
    ] * 2
    assert "| **all** | **0 of 2** |" in table(list(records.by_key.values()))


LOOK = {"name": "look", "arguments": {"at": "x"}}


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call>', [LOOK]),
        ('<tool_call>{"name": "look", "arguments": {"at": "x"}}', [LOOK]),
        ('I look.\n```json\n{"name": "look", "arguments": {"at": "x"}}\n```', [LOOK]),
        ('{"name": "look", "arguments": {"at": "x"}}\n' * 2, [LOOK, LOOK]),
        ('{"name": "other", "arguments": {}}', []),
        ('{"name": "look"}', []),
        ("Just words {", []),
    ],
)
def test_the_bare_loop_reads_calls_in_marks_and_in_code(text: str, calls: list[JsonObject]) -> None:
    assert read_calls(text, {"look"}) == calls
