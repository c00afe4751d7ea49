"""Code and docs use the words of docs/vocabulary.md, and docstrings say what a thing is or does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("kronk_agent", "tools/kronk_tools", "mcp_servers/kronk_mcp_servers")
PAGES = [ROOT / "README.md", ROOT / "configs" / "default.yaml", *sorted(ROOT.glob("docs/*.md"))]

RETIRED_NAMES = frozenset(
    (
        # agent, tools and runtime
        *("Conductor", "SomeTools", "own_tools", "all_rules", "servers_settled"),
        # engine
        *("Filling", "WaitingLine", "StepCost", "PrefixTree", "has_said_end", "close_ranks"),
        *("expects_others", "share_of_rows", "is_watched", "run_soon", "longest_whole"),
        # chat
        *("Marks", "Enclosure", "Disguise", "Scores", "begin_turn", "begins_turns", "loose_end"),
        # MCP host
        *("Person", "fill_in", "Visit", "ModelUse", "ToolUse", "Patience", "Evidence", "Exchange"),
        *("Surroundings", "NotTakenError", "ServerMemory", "Remembered", "Suspicion", "Watchers"),
        # HTTP API
        *("Serving", "Served", "Guard", "Origins", "Admission", "Measured", "OpenTurns", "Wire"),
        *("OpenWire", "WholeText", "Spoken", "visiting", "need_there", "hosted_search", "equipped"),
        # web tools
        *("HostGate", "RefusedByServer", "as_it_came_up"),
    )
)
RETIRED_PHRASES = (
    *("is the most", "goes on with", "gone on with", "whoever", "nobody", "somebody", "so many as"),
    *("cannot be had", "under way", "there is no model", "who may ask", "what there is"),
)
READ_BY_MODELS = (
    "kronk_agent/agent/approval.py",
    "kronk_agent/api/protocols/openai_responses/compaction.py",
)
"""Their texts are prompts and results, which are changed by measurement only."""
RIDDLES = re.compile(
    r"What\b|How (many|much|long|often)\b|Who(ever)?\b|Whose\b|Where\b|When\b|Those\b"
    r"|(Is|Are|May|Does|Do|Has|Have|Can|Was)\b.*\?$"
)


def test_retired_names_are_not_in_the_code() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in _modules()
        for name in RETIRED_NAMES & _names(path)
    }

    assert sorted(found) == []


def test_retired_phrases_are_not_in_code_and_docs() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {phrase!r}"
        for path in (*_modules(), *PAGES)
        if str(path.relative_to(ROOT)) not in READ_BY_MODELS
        for phrase in RETIRED_PHRASES
        if re.search(rf"\b{phrase}\b", path.read_text(encoding="utf-8"), re.IGNORECASE)
    ]

    assert found == []


def test_a_docstring_begins_with_what_the_thing_is_or_does() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {first}"
        for path in _modules()
        for line, first in _first_lines(path)
        if RIDDLES.match(first)
    ]

    assert found == []


def _modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _names(path: Path) -> set[str]:
    """The names that a module defines: its classes and functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name.lstrip("_") for node in ast.walk(tree) if isinstance(node, kinds)}


def _first_lines(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text.partition("\n")[0]
