"""What the next tokens may be: grammars compiled by llguidance.

A grammar is checked *after* sampling: the one sampled token costs about 2 µs to verify, the mask of
the whole vocabulary 25–55 µs, and most sampled tokens are allowed. Where the grammar leaves no
choice, the forced tokens are taken without asking the model at all.

llguidance bounds what it does by fuel. A grammar that has none of its bounds (``grammars.limits``
tells) is compiled and matched in a process of its own, which can be killed.
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

from kronk_agent.engine.llama.binding import Vocab, llama
from kronk_agent.engine.structured_output.isolated import IsolatedGrammar, TokenMatcher
from kronk_agent.engine.structured_output.limits import check_grammar
from kronk_agent.engine.structured_output.share import COMPILING_FOR
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import ConstraintError, EngineError, OverloadedError

_CACHED_GRAMMARS = 64
_CACHED_PROCESSES = 2
"""Of those, with a process of their own."""
_MAX_PROCESSES = 4
_REFUSED_GRAMMARS = 256
_REFUSED_SECONDS = 600.0
_RETRY_SECONDS = 5.0
_LONGEST_GRAMMAR = 4_000_000
"""Characters; the schemas of a thousand tools are about one million."""

_UNIMPLEMENTED = re.compile(r"Unimplemented keys: (\[.*\])")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """A compiled grammar. Opaque, immutable, and good for any number of generations."""

    _pristine: TokenMatcher
    unenforced: frozenset[str] = frozenset()
    """Keywords of JSON Schemas that are not enforced; unknown, so empty, in a separate process."""

    def start(self) -> Matcher:
        """A fresh matcher at the grammar's beginning."""
        return Matcher(self._pristine.deep_copy())


class Matcher:
    """Where one generation is in its grammar.

    Raises:
        ConstraintError: the grammar failed midway, for instance by exceeding llguidance's limits.
    """

    def __init__(self, matcher: TokenMatcher) -> None:
        self._matcher = matcher

    @property
    def is_finished(self) -> bool:
        """True when nothing but the end can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allows(self, token: int) -> bool:
        return bool(self._matcher.validate_tokens([token]) == 1)

    def count_allowed(self, tokens: list[int]) -> int:
        """How many of these tokens, one after the other, may come next."""
        return int(self._matcher.validate_tokens(tokens))

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Set the logits of every token that may not come next to -inf, in place."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self.check()
        allowed = np.unpackbits(bits, bitorder="little")[: len(logits)].view(np.bool_)
        np.copyto(logits, -np.inf, where=~allowed)

    def consume(self, token: int) -> None:
        self._matcher.consume_token(token)
        self.check()

    def take_forced(self, limit: int) -> list[int]:
        """The tokens that must come next, at most ``limit``, already consumed."""
        if self.is_finished:
            return []
        forced: list[int] = self._matcher.compute_ff_tokens()[:limit]
        if forced:
            self._matcher.consume_tokens(forced)
        self.check()
        return forced

    def check(self) -> None:
        """Raise its error, if it has one."""
        if self._matcher.is_error():
            raise ConstraintError(f"the grammar failed: {_summary(self._matcher.get_error())}")


class ConstraintCompiler:
    """Compiles grammars for one vocabulary and remembers the latest. Safe on any thread.

    Args:
        vocabulary: what the grammars are for.
        model: the GGUF file it is from.
    """

    def __init__(self, vocabulary: Vocabulary, model: Path) -> None:
        self._vocabulary = vocabulary
        self._model = model
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[bytes, Constraint] = OrderedDict()
        """By the grammar's hash, least recently used first."""
        self._isolated: OrderedDict[bytes, Constraint] = OrderedDict()
        """The same for those with a process of their own."""
        self._refused: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        """When and why, by the grammar's hash, the latest last."""
        self._under_way: dict[str, IsolatedGrammar] = {}
        """Being compiled in a process of their own, by whom it is for."""
        self._processes: weakref.WeakSet[IsolatedGrammar] = weakref.WeakSet()
        self._is_closed = False

    def compile(
        self, grammar: str, parts: Mapping[str, str] | None = None, *, is_ours: bool = False
    ) -> Constraint:
        """Compile a Lark grammar in llguidance's dialect. Takes milliseconds; the first time more.

        Args:
            grammar: the grammar.
            parts: further grammars by name, which it refers to as ``@name``; each has names and
                ignored text of its own.
            is_ours: no client wrote the grammar itself, only schemas, patterns and parts in it.

        Raises:
            ConstraintError: it is refused, too long, over a limit, or takes too much to compile.
            OverloadedError: another grammar that needs a process is being compiled for them.
            EngineError: the model is closed.
        """
        source = source_of(grammar, parts or {})
        if len(source) > _LONGEST_GRAMMAR:
            raise ConstraintError(
                f"the grammar has {len(source)} characters, and {_LONGEST_GRAMMAR} is the most"
            )
        text = f"{is_ours} {source}"
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()
        known = self._known(key)
        if known is not None:
            return known
        try:
            if check_grammar(grammar, parts or {}, is_ours=is_ours):
                return self._compile_isolated(key, source)
            return self._compile_here(key, source)
        except ConstraintError as error:
            with self._lock:
                self._refused[key] = (time.monotonic(), str(error))
                _limit(self._refused, _REFUSED_GRAMMARS)
            raise

    def close(self) -> None:
        """Stop what is being compiled or matched in processes of their own. May be called again."""
        with self._lock:
            self._is_closed = True
            processes = list(self._processes)
        for process in processes:
            process.close()

    def _known(self, key: bytes) -> Constraint | None:
        """What came of the same grammar before."""
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            when, why = self._refused.get(key, (-math.inf, ""))
            if time.monotonic() - when < _REFUSED_SECONDS:
                raise ConstraintError(why)
            for cached in (self._compiled, self._isolated):
                if key in cached:
                    cached.move_to_end(key)
                    return cached[key]
        return None

    def _compile_here(self, key: bytes, source: str) -> Constraint:
        with self._vocabulary.in_use() as vocabulary:
            with self._lock:
                if self._tokenizer is None:
                    self._tokenizer = new_tokenizer(self._vocabulary, vocabulary)
            # Without the lock: one large grammar does not hold up the others.
            matcher = new_matcher(source, self._tokenizer)
            compiled = replace(_checked(matcher), unenforced=_unenforced(matcher))
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
        compiled = _checked(matcher)
        with self._lock:
            self._isolated[key] = compiled
            _limit(self._isolated, _CACHED_PROCESSES)
        return compiled

    @contextmanager
    def _process(self) -> Iterator[IsolatedGrammar]:
        """A new process, which counts as under way inside the block."""
        caller = COMPILING_FOR.get()
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            if caller in self._under_way or len(self._processes) >= _MAX_PROCESSES:
                raise OverloadedError(
                    "another grammar that needs much is at work: try again, or make it simpler",
                    retry_after_seconds=_RETRY_SECONDS,
                )
            process = self._under_way[caller] = IsolatedGrammar(self._model)
            self._processes.add(process)
        try:
            yield process
        finally:
            with self._lock:
                del self._under_way[caller]


def new_matcher(source: str, tokenizer: LLTokenizer) -> LLMatcher:
    """A matcher at the beginning of what ``source`` is compiled to; it may have an error."""
    limits = LLParserLimits(verbose_errors=False)
    return LLMatcher(tokenizer, source, log_level=0, limits=limits)


def _checked(matcher: TokenMatcher) -> Constraint:
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
    """A grammar in llama.cpp's GBNF as one in llguidance's Lark.

    Raises:
        ConstraintError: it is not GBNF, or has what Lark has not.
    """
    try:
        converted: str = convert_gbnf(grammar)
    except Exception as error:  # boundary: it raises Exception itself
        raise ConstraintError(f"the GBNF grammar was refused: {_summary(str(error))}") from error
    return converted


def source_of(grammar: str, parts: Mapping[str, str]) -> str:
    """What llguidance compiles."""
    if not parts:
        return str(LLMatcher.grammar_from_lark(grammar))
    named = [{"name": name, "lark_grammar": part} for name, part in parts.items()]
    return json.dumps({"grammars": [{"lark_grammar": grammar}, *named]})


def new_tokenizer(vocabulary: Vocabulary, handle: Vocab) -> LLTokenizer:
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


def _summary(text: str) -> str:
    """The first line of an error's text, and of a regular expression's what is wrong."""
    first, _, more = text.strip().partition("\n")
    reason = re.search(r"^error: (.+)", more, re.MULTILINE)
    return f"{first} {reason[1]}" if reason and first.endswith(":") else first
