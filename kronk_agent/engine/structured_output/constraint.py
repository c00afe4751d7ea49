"""Grammar constraints on the next token, compiled and matched by llguidance.

A grammar is checked *after* sampling: verifying the one sampled token costs about 2 µs, the mask of
the whole vocabulary 25–55 µs, and most sampled tokens are allowed. Where the grammar leaves no
choice, its fast-forward tokens are taken without running the model.

llguidance bounds its work by fuel. Grammars that these bounds do not cover (see ``limits``) are
compiled and matched in a process of their own, which can be killed.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import re
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.gbnf_to_lark import gbnf_to_lark as convert_gbnf
from numpy.typing import NDArray

from kronk_agent.engine.llama.binding import VocabHandle, llama
from kronk_agent.engine.structured_output.isolated import IsolatedGrammar, TokenMatcher
from kronk_agent.engine.structured_output.limits import check_grammar
from kronk_agent.engine.structured_output.share import COMPILING_FOR
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import ConstraintError, EngineError, OverloadedError

_CACHED_GRAMMARS = 64
_CACHED_PROCESSES = 2
"""Cached grammars that have a process of their own."""
_MAX_PROCESSES = 4
"""Processes of one model, compiling ones included."""
_CACHED_REFUSALS = 256
_REFUSAL_SECONDS = 600.0
"""Time for which a refused grammar is not compiled again."""
_RETRY_SECONDS = 5.0
_MAX_GRAMMAR_LENGTH = 4_000_000
"""Maximum characters; the schemas of a thousand tools have about one million."""

_UNIMPLEMENTED = re.compile(r"Unimplemented keys: (\[.*\])")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """A compiled grammar: opaque, immutable, usable by any number of sequences."""

    _pristine: TokenMatcher
    unenforced: frozenset[str] = frozenset()
    """Keywords of JSON Schemas that are not enforced; unknown, so empty, in a separate process."""

    def start(self) -> Matcher:
        """Create a matcher at the start of the grammar."""
        return Matcher(self._pristine.deep_copy())


class Matcher:
    """Position of one sequence in its grammar.

    Raises:
        ConstraintError: the grammar failed, for instance by exceeding llguidance's limits; from
            ``mask``, ``consume``, ``take_fast_forward`` and ``check``.
    """

    def __init__(self, matcher: TokenMatcher) -> None:
        self._matcher = matcher

    @property
    def is_finished(self) -> bool:
        """True if the grammar is complete and nothing can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allows(self, token: int) -> bool:
        """True if this token may come next."""
        return bool(self._matcher.validate_tokens([token]) == 1)

    def count_allowed(self, tokens: list[int]) -> int:
        """Number of leading tokens of the list that the grammar allows, one after the other."""
        return int(self._matcher.validate_tokens(tokens))

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Set the logits of every token that may not come next to -inf, in place."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self.check()
        allowed = np.unpackbits(bits, bitorder="little")[: len(logits)].view(np.bool_)
        np.copyto(logits, -np.inf, where=~allowed)

    def consume(self, token: int) -> None:
        """Advance by a token."""
        self._matcher.consume_token(token)
        self.check()

    def take_fast_forward(self, limit: int) -> list[int]:
        """Consume and return the tokens that must come next, at most ``limit``."""
        if self.is_finished:
            return []
        fast_forward: list[int] = self._matcher.compute_ff_tokens()[:limit]
        if fast_forward:
            self._matcher.consume_tokens(fast_forward)
        self.check()
        return fast_forward

    def check(self) -> None:
        """Raise the matcher's error, if it has one."""
        if self._matcher.is_error():
            raise ConstraintError(f"the grammar failed: {_summary(self._matcher.get_error())}")


class ConstraintCompiler:
    """Compiles grammars for one vocabulary and caches the latest ones. Thread-safe.

    Args:
        vocabulary: the vocabulary of the model.
        model: the GGUF file of the model.
    """

    def __init__(self, vocabulary: Vocabulary, model: Path) -> None:
        self._vocabulary = vocabulary
        self._model = model
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[bytes, Constraint] = OrderedDict()
        """Constraints by hash of the grammar, least recently used first."""
        self._isolated: OrderedDict[bytes, Constraint] = OrderedDict()
        """The same for constraints with a process of their own."""
        self._refused: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        """Time and reason of refusals by hash of the grammar, latest last."""
        self._compiling: dict[str, IsolatedGrammar] = {}
        """Grammars being compiled in a process of their own, by caller."""
        self._processes: weakref.WeakSet[IsolatedGrammar] = weakref.WeakSet()
        self._is_closed = False

    def compile(
        self, grammar: str, parts: Mapping[str, str] | None = None, *, is_ours: bool = False
    ) -> Constraint:
        """Compile a Lark grammar in llguidance's dialect. Takes milliseconds; the first one more.

        Args:
            grammar: Lark source.
            parts: further grammars by name; ``grammar`` refers to them as ``@name``. Each has its
                own rule names and ignored text.
            is_ours: the grammar itself is trusted; a client may have written schemas, patterns and
                ``parts`` in it.

        Raises:
            ConstraintError: the grammar is invalid, too long, over a limit, or too expensive.
            OverloadedError: another expensive grammar of the same caller is being compiled.
            EngineError: the model is closed.
        """
        source = source_of(grammar, parts or {})
        if len(source) > _MAX_GRAMMAR_LENGTH:
            raise ConstraintError(
                f"the grammar has {len(source)} characters, at most {_MAX_GRAMMAR_LENGTH} are "
                "allowed"
            )
        text = f"{is_ours} {source}"
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()
        cached = self._find_cached(key)
        if cached is not None:
            return cached
        try:
            if check_grammar(grammar, parts or {}, is_ours=is_ours):
                return self._compile_isolated(key, source)
            return self._compile_in_process(key, source)
        except ConstraintError as error:
            with self._lock:
                self._refused[key] = (time.monotonic(), str(error))
                _limit(self._refused, _CACHED_REFUSALS)
            raise

    def close(self) -> None:
        """Stop all processes that compile or match grammars. Idempotent."""
        with self._lock:
            self._is_closed = True
            processes = list(self._processes)
        for process in processes:
            process.close()

    def _find_cached(self, key: bytes) -> Constraint | None:
        """Cached constraint of the same grammar, or None; raises its cached refusal."""
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            when, why = self._refused.get(key, (-math.inf, ""))
            if time.monotonic() - when < _REFUSAL_SECONDS:
                raise ConstraintError(why)
            for cached in (self._compiled, self._isolated):
                if key in cached:
                    cached.move_to_end(key)
                    return cached[key]
        return None

    def _compile_in_process(self, key: bytes, source: str) -> Constraint:
        with self._vocabulary.in_use() as vocabulary:
            with self._lock:
                if self._tokenizer is None:
                    self._tokenizer = new_tokenizer(self._vocabulary, vocabulary)
            # Without the lock, so that a large grammar does not delay others.
            matcher = new_matcher(source, self._tokenizer)
            compiled = replace(_to_constraint(matcher), unenforced=_unenforced(matcher))
        with self._lock:
            self._compiled[key] = compiled
            _limit(self._compiled, _CACHED_GRAMMARS)
        return compiled

    def _compile_isolated(self, key: bytes, source: str) -> Constraint:
        with self._process() as process:
            matcher = process.compile(source)
            if matcher.is_error():
                process.close()
                self._processes.discard(process)
        if self._is_closed:
            raise EngineError("the engine is closed")
        compiled = _to_constraint(matcher)
        with self._lock:
            self._isolated[key] = compiled
            _limit(self._isolated, _CACHED_PROCESSES)
        return compiled

    @contextmanager
    def _process(self) -> Iterator[IsolatedGrammar]:
        """Start a process that counts as compiling inside the block."""
        caller = COMPILING_FOR.get()
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            if caller in self._compiling or len(self._processes) >= _MAX_PROCESSES:
                raise OverloadedError(
                    "another expensive grammar is being compiled: try again, or simplify the "
                    "grammar",
                    retry_after_seconds=_RETRY_SECONDS,
                )
            process = self._compiling[caller] = IsolatedGrammar(self._model)
            self._processes.add(process)
        try:
            yield process
        finally:
            with self._lock:
                del self._compiling[caller]


def new_matcher(source: str, tokenizer: LLTokenizer) -> LLMatcher:
    """Compile ``source`` and return a matcher at its start; the matcher may have an error."""
    limits = LLParserLimits(verbose_errors=False)
    return LLMatcher(tokenizer, source, log_level=0, limits=limits)


def _to_constraint(matcher: TokenMatcher) -> Constraint:
    if matcher.is_error():
        why = _summary(matcher.get_error())
        raise ConstraintError(f"the grammar was refused: {why}")
    return Constraint(matcher)


def _unenforced(matcher: LLMatcher) -> frozenset[str]:
    """The keywords that llguidance ignores or does not fully enforce, from its warnings."""
    found: set[str] = set()
    for warning in matcher.get_grammar_warnings():
        keywords = _UNIMPLEMENTED.fullmatch(warning)
        found |= {*json.loads(keywords[1])} if keywords else {warning.partition(" ")[0]}
    return frozenset(found)


def _limit(cache: OrderedDict[bytes, T], size: int) -> None:
    while len(cache) > size:
        cache.popitem(last=False)


def gbnf_to_lark(grammar: str) -> str:
    """Convert a grammar from llama.cpp's GBNF to llguidance's Lark.

    Raises:
        ConstraintError: it is not valid GBNF, or cannot be expressed in Lark.
    """
    try:
        converted: str = convert_gbnf(grammar)
    except Exception as error:  # boundary: llguidance raises plain Exception
        raise ConstraintError(f"the GBNF grammar was refused: {_summary(str(error))}") from error
    return converted


def source_of(grammar: str, parts: Mapping[str, str]) -> str:
    """Source for llguidance: the grammar with its named parts."""
    if not parts:
        return str(LLMatcher.grammar_from_lark(grammar))
    named = [{"name": name, "lark_grammar": part} for name, part in parts.items()]
    return json.dumps({"grammars": [{"lark_grammar": grammar}, *named]})


def new_tokenizer(vocabulary: Vocabulary, handle: VocabHandle) -> LLTokenizer:
    """Create llguidance's tokenizer for a vocabulary. Takes about 4 µs per token."""
    # As in llguidance.llamacpp, whose own function makes deprecated calls for each token.
    # A leading 0xFF marks special tokens, to tell them from their text.
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


def _summary(text: str) -> str:
    """First line of an error text; for a regular expression also the reason below it."""
    first, _, more = text.strip().partition("\n")
    reason = re.search(r"^error: (.+)", more, re.MULTILINE)
    return f"{first} {reason[1]}" if reason and first.endswith(":") else first
