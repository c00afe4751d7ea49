"""Which tokens a piece of the answer is made of, when how likely they were is asked for."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kronk_agent.engine.sampling import logprobs
from kronk_agent.messages import Delta, Finish, ReasoningDelta, TextDelta, TokenLogprob


@dataclass(frozen=True, slots=True)
class _Scored:
    score: TokenLogprob | None
    """None for the rest of a token that was given before."""
    text: str
    """What it adds to the text; empty as long as a character is not whole."""


class Scores:
    """Puts tokens beside the text that comes of them.

    Between the two are a parser and the search for stop texts, which hold text back and leave some
    of it out. So tokens are kept until a delta has their text; those before it are of what was
    left out.

    Args:
        piece: the bytes of a token.
    """

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept: list[_Scored] = []

    def add(self, tokens: Sequence[logprobs.TokenIdLogprob]) -> None:
        """Tokens that were generated, whose text comes now or later."""
        for token in tokens:
            scored = self._scored(token.token, token.logprob)
            top = tuple(self._scored(other, logprob) for other, logprob in token.top)
            self._kept.append(_Scored(replace(scored, top=top), self._decoder.decode(scored.bytes)))

    def score(self, delta: Delta) -> Delta:
        """The delta, if it is text with the tokens it is made of."""
        match delta:
            case TextDelta(text):
                return TextDelta(text, self._take(text))
            case ReasoningDelta(text):
                self._take(text)
            case Finish():
                pass
            case _:
                self._kept.clear()
        return delta

    def _scored(self, token: int, logprob: float) -> TokenLogprob:
        piece = self._piece(token)
        return TokenLogprob(piece.decode("utf-8", "replace"), piece, token, logprob)

    def _take(self, text: str) -> tuple[TokenLogprob, ...]:
        """The tokens that have a part of this text."""
        start = _place("".join(scored.text for scored in self._kept), text)
        if start < 0:
            return ()
        end = start + len(text)
        taken: list[TokenLogprob] = []
        left: list[_Scored] = []
        at = 0
        for scored in self._kept:
            first, at = at, at + len(scored.text)
            if first >= end:
                left.append(scored)
                continue
            if scored.score is not None and (at > start or first == at == start):
                taken.append(scored.score)
            if at > end:
                left.append(_Scored(None, scored.text[end - first :]))
        self._kept = left
        return tuple(taken)


def _place(kept: str, text: str) -> int:
    """Where a text is in what was generated: nearly always that is all of it, or how it begins."""
    if kept.startswith(text):
        return 0
    return len(kept) - len(text) if kept.endswith(text) else kept.rfind(text)
