"""Conversations of agents: shared instructions and tools, and turns of question, call, result and
reply, each of which goes on from the very tokens that the peer said before."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from benchmarks.engine_bench.peers import CREATIVE, GREEDY, Ask, Peer
from benchmarks.engine_bench.prose import Tokenize, text_of
from benchmarks.engine_bench.toolbox import CALL_SCHEMA, TOOLS, signatures

_MAX_CALL_TOKENS = 96

_INSTRUCTIONS = """\
You are the assistant of an office. Every request needs one tool, and you answer with its call, a \
line of JSON and nothing else. After the result you answer in a sentence or two.

The tools:
{signatures}

A call looks like this:
{{"name": "TOOL", "arguments": {{"NAME": VALUE}}}}

What else to know:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The shape of a conversation."""

    turns: int
    question_tokens: int = 32
    result_tokens: int
    reply_tokens: int


def instructions(tokenize: Tokenize, num_tokens: int, seed: int = 1) -> list[int]:
    """A system message of so many tokens, with the tools in it; the rest is prose."""
    text = _INSTRUCTIONS.format(signatures=signatures())
    begin, end = tokenize(f"<|im_start|>system\n{text}"), tokenize("<|im_end|>\n")
    room = num_tokens - len(begin) - len(end)
    assert room >= 0, f"the tools alone have {len(begin)} tokens"
    return [*begin, *text_of(room, seed, tokenize), *end]


def request(tool: str, seed: int, tokenize: Tokenize, num_tokens: int) -> list[int]:
    """A user's turn that wants a tool, and the beginning of the assistant's."""
    begin = tokenize("<|im_start|>user\n")
    end = tokenize(f" Use {tool}.<|im_end|>\n<|im_start|>assistant\n")
    room = max(0, num_tokens - len(begin) - len(end))
    return [*begin, *text_of(room, seed, tokenize), *end]


async def converse(
    peer: Peer, tokenize: Tokenize, script: Script, prefix: list[int], seed: int
) -> int:
    """Hold one conversation to its end; returns the number of tokens the peer generated."""
    draw = random.Random(seed)
    history, num_generated = list(prefix), 0
    for turn in range(script.turns):
        tool = draw.choice(sorted(TOOLS))
        own = 1000 * seed + 10 * turn
        history += request(tool, own, tokenize, script.question_tokens)
        call = await peer.ask(
            Ask(
                prompt=history,
                max_tokens=_MAX_CALL_TOKENS,
                sampling=GREEDY,
                schema=CALL_SCHEMA,
            )
        )
        history += call.tokens
        history += tokenize("<|im_end|>\n<|im_start|>tool\n")
        history += text_of(script.result_tokens, own + 1, tokenize)
        history += tokenize("<|im_end|>\n<|im_start|>assistant\n")
        reply = await peer.ask(
            Ask(
                prompt=history,
                max_tokens=script.reply_tokens,
                sampling=replace(CREATIVE, seed=own),
            )
        )
        history += reply.tokens
        history += tokenize("<|im_end|>\n")
        num_generated += len(call.tokens) + len(reply.tokens)
    return num_generated
