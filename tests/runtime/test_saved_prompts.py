"""What an agent's prompts begin with is there at the next start, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import platformdirs
import pytest

from kronk_agent import Config, Runtime, tool
from kronk_agent.messages import Message, RunFinished, Usage
from kronk_agent.settings import ToolChoice

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECRET = "My name is Ada and my door opens with 7391."
INSTRUCTIONS = "You are the assistant of a library and answer in one sentence. " * 12


@tool
def find_book(title: str) -> str:
    """Find a book in the catalogue."""
    return title


def config(**engine: object) -> Config:
    return Config.model_validate(
        {
            "tools": (),
            "agent": {"instructions": INSTRUCTIONS, "max_tokens": 4},
            "engine": {"context_length": 2048, "threads": 1, **engine},
        }
    )


async def ask(config: Config, *messages: Message) -> Usage:
    """The usage of a run at a fresh start."""
    async with Runtime.open(config, tools=[find_book]) as runtime:
        agent = await runtime.agent()
        finished = await agent.answer(messages, tool_choice=ToolChoice("none"))
    assert isinstance(finished, RunFinished)
    return finished.usage


def saved_prompts() -> list[list[int]]:
    """The tokens of all states in the person's cache."""
    folder = platformdirs.user_cache_path("kronk-agent", appauthor=False) / "prompts"
    return [np.load(path).tolist() for path in folder.glob("*/*.tokens.npy")]


async def test_the_second_start_reads_instructions_and_tools_from_disk() -> None:
    first = await ask(config(), Message.user(SECRET))
    second = await ask(config(), Message.user("Who wrote Faust?"))

    [saved] = saved_prompts()
    assert first.cached_tokens == 0
    assert second.cached_tokens == len(saved)
    assert second.prompt_tokens - second.cached_tokens < 30


async def test_nothing_that_was_said_is_saved() -> None:
    said = [Message.user(SECRET), Message.assistant("Hello Ada"), Message.user(SECRET)]
    async with Runtime.open(config(), tools=[find_book]) as runtime:
        agent = await runtime.agent()
        await agent.answer(said)
        other = Message.system(f"{INSTRUCTIONS} {SECRET}")
        await agent.answer([other, Message.user("Hello")])

    async with Runtime.open(config()) as runtime, runtime.engine() as engine:
        [text] = [engine.detokenize(tokens) for tokens in saved_prompts()]
    assert INSTRUCTIONS.strip() in text
    assert "find_book" in text
    assert "Ada" not in text


@pytest.mark.parametrize("off", [None, False])
async def test_nothing_is_saved_without_a_folder(off: object) -> None:
    await ask(config(cache_dir=off), Message.user("Hello"))

    assert saved_prompts() == []


async def test_a_folder_of_ones_own_is_used(tmp_path: Path) -> None:
    await ask(config(cache_dir=str(tmp_path / "states")), Message.user("Hello"))

    assert saved_prompts() == []
    assert len(list((tmp_path / "states").glob("*/*.tokens.npy"))) == 1
