"""Align tokens and their log probabilities with the text of the answer."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kronk_agent.engine.sampling import logprobs
from kronk_agent.messages import Delta, Finish, ReasoningDelta, TextDelta, TokenLogprob


@dataclass(frozen=True, slots=True)
class _AlignedToken:
    logprob: TokenLogprob | None
    """None for the rest of a token that was returned before."""
    text: str
    """Text the token adds; empty until a multi-byte character is complete."""


class LogprobAligner:
    """Assigns generated tokens to the text deltas that contain them.

    Between tokens and text are the parser and the stop-sequence search, which hold text back and
    drop some of it. Tokens are kept until a delta has their text; kept tokens before that text
    belong to dropped text.

    Args:
        piece: returns the bytes of a token.
    """

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept: list[_AlignedToken] = []

    def add(self, tokens: Sequence[logprobs.TokenIdLogprob]) -> None:
        """Add generated tokens whose text comes in this or a later delta."""
        for token in tokens:
            logprob = self._token_logprob(token.token, token.logprob)
            top = tuple(self._token_logprob(other, value) for other, value in token.top)
            text = self._decoder.decode(logprob.bytes)
            self._kept.append(_AlignedToken(replace(logprob, top=top), text))

    def align(self, delta: Delta) -> Delta:
        """Return a text delta with its tokens; other deltas are returned unchanged."""
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

    def _token_logprob(self, token: int, logprob: float) -> TokenLogprob:
        piece = self._piece(token)
        return TokenLogprob(piece.decode("utf-8", "replace"), piece, token, logprob)

    def _take(self, text: str) -> tuple[TokenLogprob, ...]:
        """Remove and return the tokens that contribute to this text."""
        start = _position("".join(token.text for token in self._kept), text)
        if start < 0:
            return ()
        end = start + len(text)
        taken: list[TokenLogprob] = []
        left: list[_AlignedToken] = []
        at = 0
        for token in self._kept:
            first, at = at, at + len(token.text)
            if first >= end:
                left.append(token)
                continue
            if token.logprob is not None and (at > start or first == at == start):
                taken.append(token.logprob)
            if at > end:
                left.append(_AlignedToken(None, token.text[end - first :]))
        self._kept = left
        return tuple(taken)


def _position(kept: str, text: str) -> int:
    """Return the position of a text in the kept text, -1 if it is absent; usually a prefix."""
    if kept.startswith(text):
        return 0
    return len(kept) - len(text) if kept.endswith(text) else kept.rfind(text)
