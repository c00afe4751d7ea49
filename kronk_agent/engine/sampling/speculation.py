"""Drafts by prompt lookup: text that was there before is likely to come again.

An agent quotes: tool results, file names, its own earlier words. Where the last tokens stand
earlier in the sequence, those that followed them there are a draft, which the model checks in one
batch (Saxena, "Prompt Lookup Decoding", 2023).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NGRAM = 3
"""Tokens that must match for a draft to be made."""

_PROBE_MATCH = 8
"""Tokens that must match where drafts have not paid so far."""

_MAX_DRAFT_LENGTH = 16

_MAX_PROBED_ACCEPTANCE = 0.7
"""Where more of a draft must be right for it to pay, little is won even then: with many streams on
a CPU, where each row takes its time and a batch of another shape has to be planned anew."""

FIRST_DRAFT_LENGTH = 4
"""Tokens of a draft while little is known of how good they are."""

_FIRST_PROBE_INTERVAL = 8
"""Tokens until the next try if one was wrong; twice as many after each that was."""

_TOKEN_BYTES = 4
"""Bytes of a token id."""

_ACCEPTANCE_DECAY = 0.8
"""Weight of what is known of acceptance so far against the newest draft."""


class PromptLookup:
    """Drafts for one sequence.

    Args:
        tokens: the sequence's, with room for what will be generated; it is read as it fills up.
    """

    def __init__(self, tokens: NDArray[np.int32]) -> None:
        self.acceptance = 0.5
        """The part of the drafted tokens that was right lately; a guess at first."""
        self._tokens = tokens
        self._num_indexed = _NGRAM
        self._continuations: dict[bytes, int] = {}
        """Where the text goes on after each n-gram's latest occurrence."""
        self._draft_length = FIRST_DRAFT_LENGTH
        self._probe_interval = _FIRST_PROBE_INTERVAL
        self._probe_from = 0
        """So many tokens there must be for the next probe."""

    def draft(self, num_tokens: int, limit: int, *, min_acceptance: float) -> NDArray[np.int32]:
        """What may follow the first ``num_tokens`` tokens, at most ``limit``; often nothing.

        Args:
            worth: the acceptance from which a draft pays. Below it, only a long match is tried,
                and the more seldom the more often that was wrong.
        """
        self._index(num_tokens)
        nothing = self._tokens[:0]
        if num_tokens <= _NGRAM or limit < 1:
            return nothing
        start_of_draft = self._continuations.get(
            self._tokens[num_tokens - _NGRAM : num_tokens].tobytes()
        )
        if start_of_draft is None:
            return nothing
        if self.acceptance < min_acceptance:
            if min_acceptance > _MAX_PROBED_ACCEPTANCE or num_tokens < self._probe_from:
                return nothing
            if not self._matches(start_of_draft, num_tokens, _PROBE_MATCH):
                return nothing
            self._probe_from = num_tokens + self._probe_interval
        length = min(self._draft_length, limit, num_tokens - start_of_draft)
        return self._tokens[start_of_draft : start_of_draft + length]

    def learn(self, drafted: int, accepted: int) -> None:
        """How many tokens of a draft the model agreed with."""
        self.acceptance = (
            _ACCEPTANCE_DECAY * self.acceptance + (1 - _ACCEPTANCE_DECAY) * accepted / drafted
        )
        if accepted == drafted:
            self._draft_length = min(2 * self._draft_length, _MAX_DRAFT_LENGTH)
            self._probe_interval = _FIRST_PROBE_INTERVAL
            self._probe_from = 0
        else:
            self._probe_interval *= 2
            self._draft_length = max(2, accepted + 1)

    def _index(self, num_tokens: int) -> None:
        """Note the n-grams that are followed by a token."""
        start = self._num_indexed - _NGRAM
        data = self._tokens[start:num_tokens].tobytes()
        for end in range(self._num_indexed, num_tokens):
            at = _TOKEN_BYTES * (end - _NGRAM - start)
            self._continuations[data[at : at + _TOKEN_BYTES * _NGRAM]] = end
        self._num_indexed = max(self._num_indexed, num_tokens)

    def _matches(self, start_of_draft: int, num_tokens: int, number: int) -> bool:
        """Are the ``number`` tokens before ``place`` also the last ones?"""
        if start_of_draft < number:
            return False
        last = self._tokens[num_tokens - number : num_tokens]
        return bool((self._tokens[start_of_draft - number : start_of_draft] == last).all())
