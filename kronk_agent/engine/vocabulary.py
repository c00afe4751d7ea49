"""Conversion between text and token ids."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kronk_agent.engine.llama.binding import VocabHandle, llama
from kronk_agent.errors import EngineError


@dataclass(frozen=True, slots=True)
class FimTokens:
    """Token ids of a fill-in-the-middle prompt: prefix, suffix, then middle."""

    prefix: int
    suffix: int
    middle: int


class Vocabulary:
    """A model's tokens. Thread-safe until the model is closed.

    Raises:
        EngineError: from every method that needs the model: it is closed.
    """

    def __init__(self, handle: VocabHandle) -> None:
        self._handle: VocabHandle | None = handle
        self._num_users = 0
        self._users_changed = threading.Condition()
        self.size: int = llama.llama_vocab_n_tokens(handle)
        """Number of tokens."""
        self.end_of_generation: frozenset[int] = frozenset(
            token for token in range(self.size) if llama.llama_vocab_is_eog(handle, token)
        )
        """Ids of the tokens that end a generation."""
        self._pieces: dict[int, bytes] = {}
        self._special = {self._name(token): token for token in self._special_tokens()}
        self._special_ids = frozenset(self._special.values())
        self._adds_leading_space = self.piece(self._tokenize("a", False, False)[0]).startswith(b" ")
        self._breakable = _pattern(
            text
            for text, token in self._special.items()
            if self._has(token, llama.LLAMA_TOKEN_ATTR_USER_DEFINED)
        )
        self.bos_text = self._text_of(llama.llama_vocab_bos(handle))
        """Text of the beginning-of-sequence token; may be empty."""
        self.eos_text = self._text_of(llama.llama_vocab_eos(handle))
        """Text of the end-of-sequence token; may be empty."""
        self.fim = _fim_tokens(handle)
        """Fill-in-the-middle tokens; None if the model does not support it."""

    @contextmanager
    def in_use(self) -> Iterator[VocabHandle]:
        """llama.cpp's vocabulary, which is not freed while the block runs."""
        with self._users_changed:
            handle = self._handle
            if handle is None:
                raise EngineError("the engine is closed")
            self._num_users += 1
        try:
            yield handle
        finally:
            with self._users_changed:
                self._num_users -= 1
                self._users_changed.notify_all()

    def close(self) -> None:
        """Refuse further use and wait until current use ends. Call it before freeing the model."""
        with self._users_changed:
            self._handle = None
            self._users_changed.wait_for(lambda: self._num_users == 0)

    @property
    def special_texts(self) -> frozenset[str]:
        """Texts of all special tokens: control tokens and user-defined ones."""
        return frozenset(self._special)

    def special_token(self, text: str) -> int | None:
        """Id of the special token with exactly this text, or None."""
        return self._special.get(text)

    def tokenize(self, text: str, *, parse_special: bool, add_special: bool = False) -> list[int]:
        """Convert a text to token ids.

        Args:
            text: any text.
            parse_special: turn the text of a special token into that token. Only for trusted text;
                without it the text of a special token never becomes one.
            add_special: add the special tokens the model expects around a text (BOS, EOS).
        """
        if parse_special or self._breakable is None:
            return self._tokenize(text, add_special, parse_special)
        # llama.cpp does not produce control tokens then, but always matches user-defined ones
        # (Qwen's <tool_call>), so their text is split in two.
        pieces = split_inside(text, self._breakable)
        first = self._tokenize(next(pieces), add_special, parse_special=False)
        return [
            *first,
            *(token for piece in pieces for token in self._tokenize(piece, False, False)),
        ]

    def pair(self, query: str, document: str) -> list[int]:
        """Convert two untrusted texts to one input, with the special tokens the model expects.

        The format is that of llama.cpp's server (``format_prompt_rerank``).
        """
        with self.in_use() as handle:
            bos, eos = llama.llama_vocab_bos(handle), llama.llama_vocab_eos(handle)
            separator = llama.llama_vocab_sep(handle)
            has_bos = llama.llama_vocab_get_add_bos(handle)
            has_eos = llama.llama_vocab_get_add_eos(handle)
            has_separator = llama.llama_vocab_get_add_sep(handle)
        end = [separator if eos < 0 else eos] if has_eos else []
        return [
            *([bos] if has_bos else []),
            *self.tokenize(query, parse_special=False),
            *end,
            *([separator] if has_separator else []),
            *self.tokenize(document, parse_special=False),
            *end,
        ]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Convert token ids to text, special tokens included; invalid UTF-8 becomes U+FFFD.

        Inverse of ``tokenize`` as far as the vocabulary allows: the space that some vocabularies
        add before a text and after special tokens is removed.
        """
        return b"".join(self._pieces_of(tokens)).decode("utf-8", "replace")

    def _pieces_of(self, tokens: Sequence[int]) -> Iterator[bytes]:
        may_have_space = self._adds_leading_space
        for token in tokens:
            piece = self.piece(token)
            yield piece.removeprefix(b" ") if may_have_space else piece
            may_have_space = self._adds_leading_space and token in self._special_ids

    def piece(self, token: int) -> bytes:
        """Bytes of one token; they may be incomplete characters."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token)
        return piece

    def _read_piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            with self.in_use() as handle:
                length = llama.llama_token_to_piece(handle, token, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        capacity = len(data) + 8
        while True:
            buffer = (ctypes.c_int32 * capacity)()
            with self.in_use() as handle:
                count = llama.llama_tokenize(
                    handle, data, len(data), buffer, capacity, add_special, parse_special
                )
            if count >= 0:
                return list(buffer[:count])
            capacity = -count

    def _special_tokens(self) -> Iterator[int]:
        control = llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_UNKNOWN
        for token in range(self.size):
            if self._has(token, control):
                yield token
            elif (
                self._has(token, llama.LLAMA_TOKEN_ATTR_USER_DEFINED) and self._name(token).strip()
            ):
                # In some vocabularies runs of spaces are user-defined, too; they are plain text.
                yield token

    def _has(self, token: int, attributes: int) -> bool:
        with self.in_use() as handle:
            return bool(llama.llama_vocab_get_attr(handle, token) & attributes)

    def _name(self, token: int) -> str:
        """Text that llama.cpp parses as this token."""
        with self.in_use() as handle:
            name: bytes = llama.llama_vocab_get_text(handle, token)
        return name.decode("utf-8", "replace")

    def _text_of(self, token: int) -> str:
        """Text of a token; empty for -1, llama.cpp's value for a missing token."""
        return "" if token < 0 else self.piece(token).decode("utf-8", "replace")


def _fim_tokens(handle: VocabHandle) -> FimTokens | None:
    tokens = (
        llama.llama_vocab_fim_pre(handle),
        llama.llama_vocab_fim_suf(handle),
        llama.llama_vocab_fim_mid(handle),
    )
    return None if min(tokens) < 0 else FimTokens(*tokens)


def _pattern(texts: Iterator[str]) -> re.Pattern[str] | None:
    longest_first = sorted((re.escape(text) for text in texts if len(text) > 1), key=len)[::-1]
    return re.compile("|".join(longest_first)) if longest_first else None


def split_inside(text: str, breakable: re.Pattern[str]) -> Iterator[str]:
    """Split a text so that no piece contains a match: each is cut after its first character."""
    start = 0
    while match := breakable.search(text, start):
        yield text[start : match.start() + 1]
        start = match.start() + 1
    yield text[start:]
