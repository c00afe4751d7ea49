"""How well a model calls tools: under our grammar, without it, and under llama-server.

    make bench-tool-calls                                      # the starter model
    make bench-tool-calls ARGS='--model my.gguf --number 200'

Questions and the checker of answers are the Berkeley Function Calling Leaderboard's (``bfcl.py``).
Every way answers the same questions, greedily. Where a call is the answer, a call is demanded
(``required``), and only one unless the category is about several; where none is, the model may
choose (``auto``).

The model without our grammar gets the very prompt that ours gets, and the benefit of the doubt: any
JSON object in its answer that has a name and arguments is a call, and further ones are overlooked
where one is wanted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio
import httpx2
from benchmarks.baseline import llama_server
from benchmarks.bfcl import CATEGORIES, Case, Leaderboard

from kronk_agent.chat.local import LocalChatModel
from kronk_agent.chat.remote.tool_choice_fallback import CollectedTurn
from kronk_agent.engine.engine import Chunk, Constraint, Engine, EngineParams
from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject, JsonValue, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.models.store import find_model
from kronk_agent.settings import SamplingParams, ToolChoice

_MAX_TOKENS = 160
_GREEDY = SamplingParams(temperature=0)
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model made of a case."""

    calls: Sequence[ToolCall]
    """The complete ones."""
    is_cut_off: bool


class Way(Protocol):
    """A way to have a question answered."""

    @property
    def name(self) -> str: ...

    async def answer(self, case: Case) -> Answer: ...


@dataclass(slots=True)
class Score:
    """What came of one way on one category."""

    number: int = 0
    num_syntax_valid: int = 0
    """Answers with a call, all of whose arguments are JSON objects."""
    num_schema_valid: int = 0
    """And whose names are tools and whose arguments are valid under their schemas."""
    num_accepted: int = 0
    """By the leaderboard's checker."""
    num_cut_off: int = 0
    """Answers that were not at their end after so many tokens; nobody would run their calls."""

    def add(self, case: Case, answer: Answer, *, is_accepted: bool) -> None:
        calls = answer.calls
        self.number += 1
        self.num_accepted += is_accepted
        self.num_cut_off += answer.is_cut_off
        if answer.is_cut_off:
            return
        self.num_syntax_valid += bool(calls) and all(_is_object(call.arguments) for call in calls)
        self.num_schema_valid += bool(calls) and all(_is_valid(call, case) for call in calls)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _is_valid(call: ToolCall, case: Case) -> bool:
    tool = next((tool for tool in case.tools if tool.name == call.name), None)
    try:
        return tool is not None and tool.parse_arguments(call.arguments) is not None
    except ToolError:
        return False


# --- ways ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ours:
    """A chat model of this project."""

    name: str
    model: LocalChatModel
    is_auto: bool = False
    """The model may choose in every category."""
    bias: float | None = None
    """Decides before the turn whether to call."""
    is_free: bool = False
    """Nothing held the model to anything: what looks like a call counts as one."""

    async def answer(self, case: Case) -> Answer:
        turn = CollectedTurn()
        async with aclosing(self.model.stream(self._request(case))) as deltas:
            async for delta in deltas:
                turn.add(delta)
        calls = turn.calls
        if self.is_free:
            calls = calls or list(_calls_in(turn.text))
            calls = calls if _wants_several(case) else calls[:1]
            return Answer(calls, turn.is_cut_off and not calls)
        return Answer(calls, turn.is_cut_off)

    def _request(self, case: Case) -> ChatRequest:
        may_choose = case.is_irrelevant or self.is_auto
        return ChatRequest(
            messages=case.messages,
            tools=case.tools,
            tool_choice=ToolChoice("auto" if may_choose else "required"),
            tool_call_bias=self.bias,
            parallel_tool_calls=_wants_several(case),
            sampling=_GREEDY,
            max_tokens=_MAX_TOKENS,
        )


def _wants_several(case: Case) -> bool:
    return case.category.startswith("parallel")


class FreeEngine:
    """An engine that overlooks constraints."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def generate(
        self, prompt: Sequence[int], *, constraint: Constraint | None = None, **options: object
    ) -> AsyncGenerator[Chunk, None]:
        return self._engine.generate(prompt, constraint=None, **options)  # type: ignore[arg-type]


def _calls_in(text: str) -> Iterator[ToolCall]:
    """Whatever in a text can be taken for a call."""
    decoder = json.JSONDecoder()
    position = text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError:
            end = position + 1
        else:
            found = _call_in(value)
            if found is not None:
                yield found
            else:
                end = position + 1
        position = text.find("{", end)


def _call_in(value: JsonValue) -> ToolCall | None:
    match value:
        case {"name": str(name), "arguments": dict(arguments)} | {
            "name": str(name),
            "parameters": dict(arguments),
        }:
            return ToolCall("", name, json.dumps(arguments))
        case {"tool_call": dict(inner)} | {"function": dict(inner)}:
            return _call_in(inner)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """llama.cpp's own server, with its own prompt, grammar and parser."""

    client: httpx2.AsyncClient
    choice: str | None = None
    name: str = "llama-server"

    async def answer(self, case: Case) -> Answer:
        body: JsonObject = {
            "messages": [{"role": m.role, "content": m.text} for m in case.messages],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.parameters,
                    },
                }
                for tool in case.tools
            ],
            "tool_choice": self.choice or ("auto" if case.is_irrelevant else "required"),
            "parallel_tool_calls": _wants_several(case),
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
        }
        response = await self.client.post("/v1/chat/completions", json=body)
        if response.status_code == 500:  # its parser gave up on what the model wrote
            return Answer([], is_cut_off=False)
        response.raise_for_status()
        choice = response.json()["choices"][0]
        functions = [call["function"] for call in choice["message"].get("tool_calls") or []]
        calls = [ToolCall("", f["name"], f["arguments"]) for f in functions]
        return Answer(calls, choice["finish_reason"] == "length")


# --- running -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Results:
    """Scores by way and category, and what they took."""

    scores: dict[tuple[str, str], Score] = field(default_factory=dict)

    def add(self, way: str, case: Case, answer: Answer, *, is_accepted: bool) -> None:
        score = self.scores.setdefault((way, case.category), Score())
        score.add(case, answer, is_accepted=is_accepted)


async def run(
    leaderboard: Leaderboard, cases: Sequence[Case], ways: Sequence[Way], results: Results
) -> None:
    """Have every case answered in every way, several cases at once."""
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def run_case(case: Case) -> None:
        async with limiter:
            for way in ways:  # one after the other: the prompt they share is computed once
                answer = await way.answer(case)
                is_accepted = leaderboard.accepts(case, answer.calls)
                results.add(way.name, case, answer, is_accepted=is_accepted)

    async with anyio.create_task_group() as group:
        for case in cases:
            group.start_soon(run_case, case)


@asynccontextmanager
async def our_ways(
    path: Path, threads: int | None, biases: Sequence[float]
) -> AsyncIterator[list[Way]]:
    params = EngineParams(max_sequences=_AT_ONCE, threads=threads)
    async with await Engine.open(path, params) as engine:
        model = LocalChatModel(engine, id=path.stem)
        free = LocalChatModel(FreeEngine(engine), id=path.stem)  # type: ignore[arg-type]
        if biases:
            deciding = [Ours(f"bias {b:g}", model, is_auto=True, bias=b) for b in biases]
            yield [Ours("auto", model, is_auto=True), *deciding]
        else:
            yield [Ours("ours", model), Ours("unconstrained", free, is_free=True)]


@asynccontextmanager
async def their_way(path: Path, threads: int | None) -> AsyncIterator[list[Way]]:
    options = ["-np", str(_AT_ONCE), "-c", str(4096 * _AT_ONCE), "--kv-unified"]
    options += [] if threads is None else ["-t", str(threads)]
    with llama_server(path, *options) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=600, trust_env=False) as client:
            yield [LlamaServer(client)]


def table(results: Results, ways: Sequence[str]) -> str:
    """A line for each category and way. What is valid is in percent of the answers that ended."""
    lines = [
        "| category | way | cut off | syntax-valid | schema-valid | accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for category in CATEGORIES:
        for way in ways:
            score = results.scores.get((way, category))
            if score is None:
                continue
            is_irrelevant = category == "irrelevance"
            valid = [score.num_syntax_valid, score.num_schema_valid]
            num_ended = score.number - score.num_cut_off
            cells = [str(score.num_cut_off)]
            cells += ["–" if is_irrelevant else _percent(n, num_ended) for n in valid]
            cells.append(_percent(score.num_accepted, score.number))
            lines.append(f"| {category} | {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


async def main() -> None:
    options = _options()
    leaderboard = Leaderboard()
    cases = [
        case
        for category in options.categories
        for case in leaderboard.cases(category, options.number, options.seed)
    ]
    path = find_model(options.model, names={}, base_dir=Path.cwd())
    results = Results()
    names: list[str] = []
    places = [our_ways(path, options.threads, options.biases)]
    if not options.alone and not options.biases:
        places.append(their_way(path, options.threads))
    for place in places:
        begun = time.perf_counter()
        async with place as ways:
            await run(leaderboard, cases, ways, results)
        names += [way.name for way in ways]
        seconds = time.perf_counter() - begun
        print(f"{', '.join(way.name for way in ways)}: {seconds:.0f} s", flush=True)
    print(f"{path.stem}, n={options.number} a category, seed {options.seed}\n")
    print(table(results, names))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tool calls, in three ways.")
    parser.add_argument("--model", help="a GGUF file; without it, the starter model")
    parser.add_argument("--number", type=int, default=50, help="cases of each category")
    parser.add_argument("--seed", type=int, default=1, help="draws the cases")
    parser.add_argument("--categories", nargs="+", choices=CATEGORIES, default=CATEGORIES)
    parser.add_argument("--threads", type=int, help="of the CPU; without it, one for each core")
    parser.add_argument(
        "--biases",
        type=float,
        nargs="+",
        default=[],
        help="measure these values of tool_call_bias instead, the model free to choose",
    )
    parser.add_argument("--alone", action="store_true", help="leave llama-server out")
    return parser.parse_args()


if __name__ == "__main__":
    anyio.run(main)
