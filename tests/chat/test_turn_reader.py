from __future__ import annotations

import codecs
from collections.abc import Sequence

import pytest
from chat.support import THINK, make_parser, make_tool, merged

from kronk_agent.chat.dialects import HERMES
from kronk_agent.chat.logprobs import LogprobAligner
from kronk_agent.chat.turn_reader import TurnReader
from kronk_agent.engine.engine import Chunk, GenerationEnd
from kronk_agent.engine.sampling.logprobs import TokenIdLogprob as EngineLogprob
from kronk_agent.messages import (
    Delta,
    Finish,
    ReasoningDelta,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallEnd,
    Usage,
)

CALL = '<tool_call>\n{"name": "go", "arguments": {}}\n</tool_call>'
TIMINGS = Timings(1, 2, 3)


def read(
    chunks: Sequence[str], reason: str, *, stop: Sequence[str] = (), thinking: bool = False
) -> tuple[list[Delta], Finish]:
    """Deltas of chunks of two tokens each, up to the one with ``Finish``, and that one."""
    reader = TurnReader(
        make_parser(HERMES, make_tool("go"), thinking=THINK if thinking else None),
        stop,
        num_prompt_tokens=10,
    )
    deltas: list[Delta] = []
    for number, text in enumerate(chunks, start=1):
        usage = Usage(10, 2 * number, 5)
        is_last = number == len(chunks)
        end = GenerationEnd(reason, usage, TIMINGS) if is_last else None  # type: ignore[arg-type]
        deltas += reader.read(Chunk((1, 2), text, end, num_cached=5))
        if reader.is_over:
            break
    *others, finish = merged(deltas)
    assert isinstance(finish, Finish)
    return others, finish


@pytest.mark.parametrize("stop", [["STOP"], ["never", "STOP", "STOPS"], ["OP", "STOP"]])
def test_a_stop_sequence_ends_the_turn_wherever_chunks_split_it(stop: list[str]) -> None:
    text = "Hello ST STO STOP and more"
    for split in range(len(text) + 1):
        deltas, finish = read([text[:split], text[split:]], "length", stop=stop)
        assert deltas == [TextDelta("Hello ST STO ")]
        assert (finish.reason, finish.stop_sequence) == ("stop", "STOP")


def test_a_turn_that_is_stopped_early_counts_what_was_generated() -> None:
    deltas, finish = read(["a", "b", "STOP", "c", "d"], "stop", stop=["STOP"])

    assert deltas == [TextDelta("ab")]
    assert finish.usage == Usage(prompt_tokens=10, completion_tokens=6, cached_tokens=5)
    assert finish.timings.generation_seconds >= 0


def test_the_start_of_an_incomplete_stop_sequence_is_delivered() -> None:
    assert read(["a ST", "O", ""], "stop", stop=["STOP"])[0] == [TextDelta("a STO")]
    deltas, _ = read([f"a ST{CALL}"], "stop", stop=["STOP"])
    assert deltas[0] == TextDelta("a ST")


def test_thinking_and_calls_may_contain_stop_sequences() -> None:
    deltas, finish = read(
        ["<think>go", "</think>", CALL], "stop", stop=["go", "name"], thinking=True
    )

    assert deltas[0] == ReasoningDelta("go")
    assert finish == Finish(
        "tool_calls", Usage(10, 6, cached_tokens=5, reasoning_tokens=2), TIMINGS
    )


@pytest.mark.parametrize(
    ("text", "reason", "expected"),
    [
        ("text", "stop", "stop"),
        ("text", "length", "length"),
        (CALL, "stop", "tool_calls"),
        (CALL, "length", "tool_calls"),
        (f"{CALL}\n{CALL}", "stop", "tool_calls"),
        (CALL[:-1], "length", "length"),
        (f"{CALL}\n{CALL[:20]}", "length", "length"),
    ],
)
def test_the_reason_says_whether_the_calls_are_complete(
    text: str, reason: str, expected: str
) -> None:
    assert read([text], reason)[1].reason == expected


def test_a_repeated_call_ends_the_turn_and_is_dropped() -> None:
    other = CALL.replace("{}}", '{"a": 1}}')

    deltas, finish = read([f"{CALL}\n", f"{other}\n{CALL}\n{CALL}", "and so on"], "length")

    calls = [delta.index for delta in deltas if isinstance(delta, ToolCallEnd)]
    assert calls == [0, 1]
    assert finish.reason == "tool_calls"
    assert finish.usage == Usage(prompt_tokens=10, completion_tokens=4, cached_tokens=5)


# --- logprobs ----------------------------------------------------------------------------------


def read_scored(
    pieces: Sequence[bytes], *, stop: Sequence[str] = (), thinking: bool = False, step: int = 1
) -> list[tuple[str, list[bytes]]]:
    """Each piece is a token; gives the text deltas, and the tokens that come with them.

    Args:
        pieces: the bytes of each token.
        stop: texts that end the turn.
        thinking: may the turn think?
        step: tokens in a chunk.
    """
    reader = TurnReader(
        make_parser(HERMES, make_tool("go"), thinking=THINK if thinking else None),
        stop,
        num_prompt_tokens=10,
        aligner=LogprobAligner(pieces.__getitem__),
    )
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    deltas: list[Delta] = []
    for first in range(0, len(pieces), step):
        tokens = tuple(range(first, min(first + step, len(pieces))))
        is_last = tokens[-1] == len(pieces) - 1
        end = GenerationEnd("stop", Usage(10, len(pieces)), TIMINGS) if is_last else None
        text = "".join(decoder.decode(pieces[token]) for token in tokens)
        logprobs = tuple(EngineLogprob(token, -float(token), ((token, -1.0),)) for token in tokens)
        deltas += reader.read(Chunk(tokens, text, end, logprobs))
        if reader.is_over:
            break
    scored = [delta for delta in deltas if isinstance(delta, TextDelta)]
    for token in (token for delta in scored for token in delta.logprobs):
        assert token.id is not None
        text = pieces[token.id].decode("utf-8", "replace")
        top = (TokenLogprob(text, pieces[token.id], token.id, -1.0),)
        assert token == TokenLogprob(text, pieces[token.id], token.id, -float(token.id), top)
    return [(delta.text, [token.bytes for token in delta.logprobs]) for delta in scored]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_text_comes_with_its_tokens(step: int) -> None:
    read_back = read_scored([b"It", b" is", b" a", b" caf", b"\xc3", b"\xa9", b"."], step=step)

    assert "".join(text for text, _ in read_back) == "It is a café."
    tokens = [token for _, tokens in read_back for token in tokens]
    assert tokens == [b"It", b" is", b" a", b" caf", b"\xc3", b"\xa9", b"."]


def test_tokens_of_thinking_calls_and_delimiters_are_dropped() -> None:
    call = [b"<tool_call>", b"\n", b'{"name": "go", ', b'"arguments": {}}', b"\n</tool_call>"]
    thought = [b"<think>", b"so", b" it is", b"</think>", b"\n\n"]

    read_back = read_scored([*thought, b"so", b" it", b"\n", *call], thinking=True)

    assert read_back == [("so", [b"so"]), (" it", [b" it"])]


def test_text_that_was_held_back_comes_with_its_tokens() -> None:
    read_back = read_scored([b"a", b"<", b"tool", b" b", b"S", b"T"], stop=["STOP"])

    assert read_back == [("a", [b"a"]), ("<tool b", [b"<", b"tool", b" b"]), ("ST", [b"S", b"T"])]


@pytest.mark.parametrize("step", [1, 2, 4])
def test_tokens_of_a_stop_sequence_are_dropped(step: int) -> None:
    read_back = read_scored([b"a", b"a", b"ST", b"OP"], stop=["STOP", "aaa"], step=step)

    assert [token for _, tokens in read_back for token in tokens] == [b"a", b"a"]


def test_a_token_with_the_start_of_a_stop_sequence_is_returned_once() -> None:
    read_back = read_scored([b"Well S", b"o it is"], stop=["STOP"])

    assert read_back == [("Well ", [b"Well S"]), ("So it is", [b"o it is"])]
