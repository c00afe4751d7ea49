"""Prompt lookup decoding: drafts tokens from text that occurred earlier in the sequence.

Agents quote: tool results, file names, their own earlier text. If the last tokens occur earlier in
the sequence, the tokens that followed them there become a draft, which the model verifies in one
batch (Saxena, "Prompt Lookup Decoding", 2023).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NGRAM = 3
"""Matching tokens required for a draft."""

_PROBE_MATCH = 8
"""Matching tokens required for a draft while drafts do not pay off."""

_MAX_DRAFT_LENGTH = 16

_MAX_PROBED_ACCEPTANCE = 0.7
"""Break-even acceptance above which no drafts are probed: little could be gained, as with many
streams on a CPU, where each row takes time and a batch of a new shape must be planned again."""

FIRST_DRAFT_LENGTH = 4
"""Tokens of the first drafts, while their acceptance is unknown."""

_FIRST_PROBE_INTERVAL = 8
"""Tokens until the next probe after a wrong one; doubled after each further wrong one."""

_TOKEN_BYTES = 4
"""Bytes of a token id."""

_ACCEPTANCE_DECAY = 0.8
"""Weight of the acceptance so far against that of the newest draft."""


class PromptLookup:
    """Drafts tokens for one sequence.

    Args:
        tokens: the sequence's token buffer, read as it fills up.
    """

    def __init__(self, tokens: NDArray[np.int32]) -> None:
        self.acceptance = 0.5
        """Moving average of the share of drafted tokens accepted, 0 to 1; starts with a guess."""
        self._tokens = tokens
        self._num_indexed = _NGRAM
        self._continuations: dict[bytes, int] = {}
        """Index of the token after the latest occurrence of each n-gram."""
        self._draft_length = FIRST_DRAFT_LENGTH
        self._probe_interval = _FIRST_PROBE_INTERVAL
        self._probe_from = 0
        """Number of tokens from which the next probe is allowed."""

    def draft(self, num_tokens: int, limit: int, *, min_acceptance: float) -> NDArray[np.int32]:
        """Draft tokens that may follow the first ``num_tokens`` tokens; often none.

        Args:
            num_tokens: tokens of the sequence so far.
            limit: maximum tokens of the draft.
            min_acceptance: acceptance from which a draft pays off. Below it only long matches are
                probed, less and less often while they are wrong.
        """
        self._index(num_tokens)
        nothing = self._tokens[:0]
        if num_tokens <= _NGRAM or limit < 1:
            return nothing
        position = self._continuations.get(self._tokens[num_tokens - _NGRAM : num_tokens].tobytes())
        if position is None:
            return nothing
        if self.acceptance < min_acceptance:
            if min_acceptance > _MAX_PROBED_ACCEPTANCE or num_tokens < self._probe_from:
                return nothing
            if not self._matches(position, num_tokens, _PROBE_MATCH):
                return nothing
            self._probe_from = num_tokens + self._probe_interval
        length = min(self._draft_length, limit, num_tokens - position)
        return self._tokens[position : position + length]

    def learn(self, drafted: int, accepted: int) -> None:
        """Record that the model accepted ``accepted`` of ``drafted`` tokens."""
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
        """Index the n-grams that are followed by a token."""
        start = self._num_indexed - _NGRAM
        data = self._tokens[start:num_tokens].tobytes()
        for end in range(self._num_indexed, num_tokens):
            at = _TOKEN_BYTES * (end - _NGRAM - start)
            self._continuations[data[at : at + _TOKEN_BYTES * _NGRAM]] = end
        self._num_indexed = max(self._num_indexed, num_tokens)

    def _matches(self, position: int, num_tokens: int, number: int) -> bool:
        """True if the ``number`` tokens before ``position`` equal the last ones."""
        if position < number:
            return False
        last = self._tokens[num_tokens - number : num_tokens]
        return bool((self._tokens[position - number : position] == last).all())
