"""Write something, then see that it is there."""

from __future__ import annotations

import json
import sqlite3
import subprocess

from benchmarks.jobs.cases.names import COUNTRIES, ERRANDS, PEOPLE
from benchmarks.jobs.job import Job, World, holds, job, says, says_number
from benchmarks.jobs.office import Calendar, Notes

from kronk_agent.testing import call


@job("write", servers=("filesystem",))
def shopping_list(world: World) -> Job:
    things = world.draw.sample(("milk", "bread", "eggs", "rice", "apples", "salt", "tea"), 4)
    text = "\n".join(things)

    def is_written() -> bool:
        return [
            line.strip(" -*") for line in world.read("shopping.txt").split("\n") if line
        ] == things

    return Job(
        prompts=(
            f"Write a file shopping.txt with one thing on each line: {', '.join(things)}. "
            "Then read the file again and tell me how many lines it has.",
        ),
        checks=(holds(is_written, "shopping.txt is not as it should be"), says_number(4)),
        solution=(
            [
                call("filesystem__write_file", path="shopping.txt", content=text),
                call("filesystem__read_text_file", path="shopping.txt"),
                "It has 4 lines.",
            ],
        ),
    )


@job("write", servers=("filesystem",))
def change_the_port(world: World) -> Job:
    old, new = world.draw.sample(range(8000, 9000), 2)
    world.write("server.ini", f"[server]\nhost = localhost\nport = {old}\nworkers = 4\n")
    wanted = f"[server]\nhost = localhost\nport = {new}\nworkers = 4"
    return Job(
        prompts=(
            f"In server.ini, change the port from {old} to {new} and leave the rest as it is. "
            "Then look at the file again and tell me which host it has.",
        ),
        checks=(
            holds(lambda: world.read("server.ini").strip() == wanted, "server.ini is not right"),
            says("localhost"),
        ),
        solution=(
            [
                call(
                    "filesystem__edit_file",
                    path="server.ini",
                    edits=[{"oldText": f"port = {old}", "newText": f"port = {new}"}],
                ),
                call("filesystem__read_text_file", path="server.ini"),
                "The host is localhost.",
            ],
        ),
    )


@job("write", servers=("memory",))
def remember_a_birthday(world: World) -> Job:
    who = world.draw.choice(PEOPLE)
    day = world.draw.randint(2, 28)
    old = {"type": "entity", "name": who, "entityType": "person", "observations": ["plays chess"]}
    world.write("memory.jsonl", json.dumps(old))

    def is_remembered() -> bool:
        lines = [json.loads(line) for line in world.read("memory.jsonl").splitlines() if line]
        said = [
            observation
            for line in lines
            if line.get("name") == who
            for observation in line["observations"]
        ]
        return any("May" in o and str(day) in o for o in said) and "plays chess" in said

    return Job(
        prompts=(
            f"Add to what you remember about {who} that the birthday is on May {day}. "
            "Then look up everything you remember about this person and tell me the hobby.",
        ),
        checks=(holds(is_remembered, "the birthday is not in the memory"), says("chess")),
        solution=(
            [
                call(
                    "memory__add_observations",
                    observations=[{"entityName": who, "contents": [f"birthday on May {day}"]}],
                ),
                call("memory__open_nodes", names=[who]),
                "Chess.",
            ],
        ),
    )


@job("write", servers=("sqlite",))
def new_customer(world: World) -> Job:
    who, country = world.draw.choice(PEOPLE), world.draw.choice(COUNTRIES)
    number = world.draw.randint(5, 15)
    path = world.folder / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT)")
        rows = [(f"Customer {n}", "Italy") for n in range(number)]
        database.executemany("INSERT INTO customers (name, country) VALUES (?, ?)", rows)
    database.close()

    def is_added() -> bool:
        with sqlite3.connect(path) as now:
            found = now.execute("SELECT name, country FROM customers WHERE id > ?", (number,))
            rows = found.fetchall()
        now.close()
        return rows == [(who, country)]

    insert = f"INSERT INTO customers (name, country) VALUES ('{who}', '{country}')"
    return Job(
        prompts=(
            f"Add the customer {who} from {country} to the table customers (columns name and "
            "country) in the database. Then count how many customers there are now.",
        ),
        checks=(holds(is_added, "the customer was not added once"), says_number(number + 1)),
        solution=(
            [
                call("sqlite__write_query", query=insert),
                call("sqlite__read_query", query="SELECT COUNT(*) FROM customers"),
                f"{number + 1} customers.",
            ],
        ),
    )


@job("write", servers=("git",))
def commit_a_change(world: World) -> Job:
    def git(*args: str) -> str:
        name = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        command = ("git", "-C", str(world.folder), *name, *args)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    subject = world.draw.choice(("Raise the limit", "Fix the greeting", "Shorten the title"))
    git("init", "-q", "-b", "main")
    git("config", "user.name", "Ann")
    git("config", "user.email", "ann@example.com")
    world.write("app.py", "limit = 10\n")
    git("add", ".")
    git("commit", "-q", "-m", "Begin")
    world.write("app.py", "limit = 20\n")
    repo = str(world.folder)

    def is_committed() -> bool:
        subjects = git("log", "--format=%s").splitlines()
        return subjects == [subject, "Begin"] and not git("status", "--porcelain")

    return Job(
        prompts=(
            f"In the git repository {repo} the file app.py was changed. Stage it and commit it "
            f"with the message '{subject}'. Then look at the log: what is the message of the "
            "commit before?",
        ),
        checks=(holds(is_committed, "the change is not committed"), says("Begin")),
        solution=(
            [
                call("git__git_add", repo_path=repo, files=["app.py"]),
                call("git__git_commit", repo_path=repo, message=subject),
                call("git__git_log", repo_path=repo),
                "It is: Begin.",
            ],
        ),
    )


@job("write")
def add_an_event(world: World) -> Job:
    day = f"2026-05-{world.draw.randint(10, 28)}"
    calendar = Calendar([(day, "09:00", "breakfast with Tom"), (day, "15:00", "haircut")])

    def is_added() -> bool:
        new = calendar.events[2:]
        return len(new) == 1 and new[0][:2] == (day, "11:30") and "piano" in new[0][2].casefold()

    return Job(
        prompts=(
            f"Put a piano lesson at 11:30 on {day} into my calendar. "
            "Then check that day: what comes right after the piano lesson?",
        ),
        checks=(holds(is_added, "the lesson is not in the calendar once"), says("haircut")),
        tools=calendar.tools(),
        solution=(
            [
                call("add_event", day=day, time="11:30", title="piano lesson"),
                call("list_events", day=day),
                "The haircut.",
            ],
        ),
    )


@job("write")
def notes_before_and_after(world: World) -> Job:
    first, second, third = world.draw.sample(ERRANDS, 3)
    notes = Notes([first])
    return Job(
        prompts=(
            f"Read my notes. Then add two notes, '{second}' and '{third}'. "
            "Then read my notes again and tell me how many there are.",
        ),
        checks=(
            holds(lambda: _same(notes.texts, [first, second, third]), "the notes are not right"),
            says_number(3),
        ),
        tools=notes.tools(),
        solution=(
            [
                call("list_notes"),
                [call("add_note", text=second), call("add_note", text=third)],
                call("list_notes"),
                "There are 3 notes.",
            ],
        ),
    )


def _same(texts: list[str], wanted: list[str]) -> bool:
    return [text.casefold().strip(" .") for text in texts] == wanted
