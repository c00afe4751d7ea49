"""Cases of the Berkeley Function Calling Leaderboard, and its own checker of answers.

Both come from the PyPI package ``bfcl-eval`` (Apache-2.0), put into the benchmarks' cache folder
without the thirty SDKs it depends on: the checker does not need them.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import platformdirs

from kronk_agent import Message
from kronk_agent.messages import JsonObject, JsonValue, ToolCall
from kronk_agent.tools import Tool, ToolContext, ToolOutput

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance")
_VERSION = "2026.3.23"
_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
"""The leaderboard's names of types, which are Python's, in JSON Schema."""
_NO_KEYWORDS = {"optional"}


@dataclass(frozen=True, slots=True)
class Case:
    """One question, its tools, and the calls that answer it."""

    id: str
    category: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    functions: list[JsonObject] = field(repr=False)
    """The tools as the checker knows them."""
    expected: list[JsonObject] = field(repr=False)
    """Empty where no call answers the question."""

    @property
    def is_irrelevant(self) -> bool:
        return self.category == "irrelevance"


class Leaderboard:
    """The package, installed and loaded."""

    def __init__(self) -> None:
        self._folder = _installed()
        self._check = _load_checker(self._folder)

    def cases(self, category: str, number: int, seed: int) -> list[Case]:
        """So many cases of a category, drawn by the seed."""
        file = f"BFCL_v4_{category}.json"
        data = self._folder / "bfcl_eval" / "data"
        answers = {}
        if category != "irrelevance":
            answers = {
                line["id"]: line["ground_truth"] for line in _lines(data, "possible_answer", file)
            }
        drawn = random.Random(seed).sample(_lines(data, file), number)
        return [_case(line, category, answers.get(line["id"], [])) for line in drawn]

    def accepts(self, case: Case, calls: Sequence[ToolCall]) -> bool:
        """Are these calls an answer? By the leaderboard's own abstract syntax tree check."""
        if case.is_irrelevant:
            return not calls
        theirs = {_tool_name(function): str(function["name"]) for function in case.functions}
        try:
            output = [{theirs[call.name]: json.loads(call.arguments)} for call in calls]
        except (KeyError, ValueError):
            return False
        if any(not isinstance(arguments, dict) for call in output for arguments in call.values()):
            return False
        return self._check(case.functions, output, case.expected, case.category)


def _installed() -> Path:
    pin = f"bfcl-eval=={_VERSION}"
    folder = platformdirs.user_cache_path("kronk-agent") / "benchmarks" / pin
    if not folder.is_dir():
        print(f"installing {pin} (2 MB) into the cache", file=sys.stderr, flush=True)
        target = ["--no-deps", "--target", str(folder), pin]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *target], check=True)
    return folder


def _load_checker(folder: Path) -> Callable[[Any, Any, Any, str], bool]:
    # The checker looks one setting of a model up in a module that imports every vendor's SDK.
    model = "any"
    settings = ModuleType("bfcl_eval.constants.model_config")
    settings.MODEL_CONFIG_MAPPING = {model: SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
    sys.modules[settings.__name__] = settings
    sys.path.insert(0, str(folder))
    checker = import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")
    language = import_module("bfcl_eval.constants.enums").Language.PYTHON
    sys.path.remove(str(folder))

    def check(functions: Any, output: Any, expected: Any, category: str) -> bool:
        result = checker.ast_checker(functions, output, expected, language, category, model)
        return bool(result["valid"])

    return check


def _lines(folder: Path, *parts: str) -> list[Any]:
    text = folder.joinpath(*parts).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _case(line: Mapping[str, Any], category: str, expected: list[JsonObject]) -> Case:
    (turn,) = line["question"]
    return Case(
        id=line["id"],
        category=category,
        messages=tuple(
            Message(role=m["role"], content=Message.user(m["content"]).content) for m in turn
        ),
        tools=tuple(_tool(function) for function in line["function"]),
        functions=line["function"],
        expected=expected,
    )


def _tool(function: Mapping[str, Any]) -> Tool:
    parameters = _schema(function["parameters"])
    assert isinstance(parameters, dict)
    return Tool(
        name=_tool_name(function),
        description=function["description"],
        parameters=parameters,
        call=_never_called,
    )


def _tool_name(function: Mapping[str, Any]) -> str:
    return str(function["name"]).replace(".", "_")


def _schema(value: JsonValue) -> JsonValue:
    """The leaderboard's way to write a schema as JSON Schema."""
    if not isinstance(value, dict):
        return value
    schema: JsonObject = {k: v for k, v in value.items() if k not in _NO_KEYWORDS}
    kind = schema.get("type")
    if kind == "any":
        del schema["type"]
    elif isinstance(kind, str):
        schema["type"] = _TYPES.get(kind, kind)
    if isinstance(properties := schema.get("properties"), dict):
        schema["properties"] = {name: _schema(inner) for name, inner in properties.items()}
    if "items" in schema:
        schema["items"] = _schema(schema["items"])
    return schema


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError
