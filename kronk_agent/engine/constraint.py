"""What the next tokens may be: grammars compiled by llguidance.

A grammar is checked *after* sampling: the one sampled token costs about 2 µs to verify, the mask of
the whole vocabulary 25–55 µs, and most sampled tokens are allowed. Where the grammar leaves no
choice, the forced tokens are taken without asking the model at all.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import gbnf_to_lark as convert_gbnf
from numpy.typing import NDArray

from kronk_agent.engine.binding import Vocab, llama
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import ConstraintError, EngineError

_CACHED_GRAMMARS = 64
_LONGEST_GRAMMAR = 4_000_000
"""Characters; the schemas of a thousand tools are about one million."""


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """A compiled grammar. Opaque, immutable, and good for any number of generations."""

    _pristine: LLMatcher

    def start(self) -> Matcher:
        """A fresh matcher at the grammar's beginning."""
        return Matcher(self._pristine.deep_copy())


class Matcher:
    """Where one generation is in its grammar.

    Raises:
        EngineError: the grammar failed midway (for instance by exceeding llguidance's limits).
    """

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def is_finished(self) -> bool:
        """True when nothing but the end can follow."""
        return bool(self._matcher.is_stopped())

    def allows(self, token: int) -> bool:
        return bool(self._matcher.validate_tokens([token]) == 1)

    def count_allowed(self, tokens: list[int]) -> int:
        """How many of these tokens, one after the other, may come next."""
        return int(self._matcher.validate_tokens(tokens))

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Set the logits of every token that may not come next to -inf, in place."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        allowed = np.unpackbits(bits, bitorder="little")[: len(logits)].view(np.bool_)
        np.copyto(logits, -np.inf, where=~allowed)

    def consume(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._check()

    def take_forced(self, limit: int) -> list[int]:
        """The tokens that must come next, at most ``limit``, already consumed."""
        if self.is_finished:
            return []
        forced: list[int] = self._matcher.compute_ff_tokens()[:limit]
        if forced:
            self._matcher.consume_tokens(forced)
        self._check()
        return forced

    def _check(self) -> None:
        if self._matcher.is_error():
            raise EngineError(f"the grammar failed: {_first_line(self._matcher.get_error())}")


class ConstraintCompiler:
    """Compiles grammars for one vocabulary and remembers the latest. Safe on any thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[bytes, Constraint] = OrderedDict()
        """By the grammar's hash, least recently used first."""

    def compile(self, grammar: str, parts: Mapping[str, str] | None = None) -> Constraint:
        """Compile a Lark grammar in llguidance's dialect. Takes milliseconds; the first time more.

        ``parts`` are further grammars by name, which it refers to as ``@name``; each has names and
        ignored text of its own.

        Raises:
            ConstraintError: with the compiler's own words, or it is too long. llguidance bounds
                the work itself.
            EngineError: the model is closed.
        """
        source = _source(grammar, parts or {})
        if len(source) > _LONGEST_GRAMMAR:
            raise ConstraintError(
                f"the grammar has {len(source)} characters, and {_LONGEST_GRAMMAR} is the most"
            )
        key = hashlib.blake2b(source.encode("utf-8", "surrogatepass")).digest()
        with self._vocabulary.in_use() as vocabulary:
            with self._lock:
                known = self._compiled.get(key)
                if known is not None:
                    self._compiled.move_to_end(key)
                    return known
                if self._tokenizer is None:
                    self._tokenizer = _tokenizer(self._vocabulary, vocabulary)
            # Without the lock: one large grammar does not hold up the others.
            compiled = _compile(source, self._tokenizer)
        with self._lock:
            self._compiled[key] = compiled
            if len(self._compiled) > _CACHED_GRAMMARS:
                self._compiled.popitem(last=False)
        return compiled


def _compile(source: str, tokenizer: LLTokenizer) -> Constraint:
    matcher = LLMatcher(tokenizer, source, log_level=0)
    if matcher.is_error():
        raise ConstraintError(f"the grammar was refused: {_first_line(matcher.get_error())}")
    return Constraint(matcher)


def gbnf_to_lark(grammar: str) -> str:
    """A grammar in llama.cpp's GBNF as one in llguidance's Lark.

    Raises:
        ConstraintError: it is not GBNF, or has what Lark has not.
    """
    try:
        converted: str = convert_gbnf(grammar)
    except Exception as error:  # boundary: it raises Exception itself
        raise ConstraintError(f"the GBNF grammar was refused: {_first_line(str(error))}") from error
    return converted


def _source(grammar: str, parts: Mapping[str, str]) -> str:
    """What llguidance compiles."""
    if not parts:
        return str(LLMatcher.grammar_from_lark(grammar))
    named = [{"name": name, "lark_grammar": part} for name, part in parts.items()]
    return json.dumps({"grammars": [{"lark_grammar": grammar}, *named]})


def _tokenizer(vocabulary: Vocabulary, handle: Vocab) -> LLTokenizer:
    """llguidance's view of a vocabulary. Takes about 4 µs a token: made once, on first use."""
    # As llguidance.llamacpp does it, whose own function makes deprecated calls for each token.
    # The leading 0xFF is how llguidance tells special tokens from their text.
    special = {vocabulary.special_token(text) for text in vocabulary.special_texts}
    pieces = (vocabulary.piece(token) for token in range(vocabulary.size))
    make: Callable[..., LLTokenizer] = getattr(LLTokenizer, "from_llamacpp")  # noqa: B009 (no stub)
    return make(
        tokens=[b"\xff" + p if token in special else p for token, p in enumerate(pieces)],
        vocab_ptr=handle,
        tokenize_fptr=ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value,
        eos_token=sorted(vocabulary.end_of_generation),
        slices=None,
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
