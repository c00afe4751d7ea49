"""Text to token ids and back."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence

from kronk_agent.engine.binding import Vocab, llama
from kronk_agent.errors import EngineError


class Vocabulary:
    """A model's tokens. Safe to use from any thread, until the model is closed.

    Raises:
        EngineError: the model is closed (from every method that needs it).
    """

    def __init__(self, handle: Vocab) -> None:
        self._handle: Vocab | None = handle
        self.size: int = llama.llama_vocab_n_tokens(handle)
        self.end_of_generation: frozenset[int] = frozenset(
            token for token in range(self.size) if llama.llama_vocab_is_eog(handle, token)
        )
        """Tokens that end a generation (the vocabulary may have several)."""
        self._pieces: dict[int, bytes] = {}
        self._special = {
            self.piece(token).decode("utf-8", "replace"): token for token in self._special_tokens()
        }
        self._breakable = _pattern(
            text for text, token in self._special.items() if not self._is_control(token)
        )

    @property
    def handle(self) -> Vocab:
        """llama.cpp's own, for others that speak to it."""
        if self._handle is None:
            raise EngineError("the engine is closed")
        return self._handle

    def close(self) -> None:
        """The model is about to be freed, and its vocabulary with it."""
        self._handle = None

    @property
    def special_texts(self) -> frozenset[str]:
        """The text of every token that means more than its characters."""
        return frozenset(self._special)

    @property
    def bos_text(self) -> str:
        """The text of the beginning-of-sequence token; empty where there is none."""
        return self._text_of(llama.llama_vocab_bos(self.handle))

    @property
    def eos_text(self) -> str:
        """The text of the end-of-sequence token; empty where there is none."""
        return self._text_of(llama.llama_vocab_eos(self.handle))

    def special_token(self, text: str) -> int | None:
        """The special token whose text is exactly this one."""
        return self._special.get(text)

    def tokenize(self, text: str, *, parse_special: bool, add_special: bool = False) -> list[int]:
        """Token ids of a text.

        Args:
            text: what to tokenise.
            parse_special: may the text of a special token become that token? Only for trusted
                text; otherwise no id of the result is a special token's.
            add_special: add what the model wants around a text of its own (BOS, EOS).
        """
        if parse_special or self._breakable is None:
            return self._tokenize(text, add_special, parse_special)
        # llama.cpp keeps control tokens out by itself, but always matches user-defined ones
        # (Qwen's <tool_call>), so their text is broken in two.
        pieces = split_inside(text, self._breakable)
        first = self._tokenize(next(pieces), add_special, parse_special=False)
        return [
            *first,
            *(token for piece in pieces for token in self._tokenize(piece, False, False)),
        ]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special ones included; broken UTF-8 becomes U+FFFD."""
        return b"".join(map(self.piece, tokens)).decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """The bytes of one token, which need not be whole characters."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token)
        return piece

    def _read_piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama.llama_token_to_piece(self.handle, token, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        capacity = len(data) + 8
        while True:
            buffer = (ctypes.c_int32 * capacity)()
            count = llama.llama_tokenize(
                self.handle, data, len(data), buffer, capacity, add_special, parse_special
            )
            if count >= 0:
                return list(buffer[:count])
            capacity = -count

    def _special_tokens(self) -> Iterator[int]:
        for token in range(self.size):
            if self._is_control(token):
                yield token
            elif self._is_user_defined(token) and self.piece(token).strip():
                # Runs of blanks are user-defined too in some vocabularies; they mean only blanks.
                yield token

    def _is_control(self, token: int) -> bool:
        return bool(llama.llama_vocab_get_attr(self.handle, token) & llama.LLAMA_TOKEN_ATTR_CONTROL)

    def _is_user_defined(self, token: int) -> bool:
        attributes = llama.llama_vocab_get_attr(self.handle, token)
        return bool(attributes & llama.LLAMA_TOKEN_ATTR_USER_DEFINED)

    def _text_of(self, token: int) -> str:
        """Empty for llama.cpp's 'no such token', -1."""
        return "" if token < 0 else self.piece(token).decode("utf-8", "replace")


def _pattern(texts: Iterator[str]) -> re.Pattern[str] | None:
    longest_first = sorted((re.escape(text) for text in texts if len(text) > 1), key=len)[::-1]
    return re.compile("|".join(longest_first)) if longest_first else None


def split_inside(text: str, breakable: re.Pattern[str]) -> Iterator[str]:
    """The text in pieces, none of which holds a match: each match is cut after its first letter."""
    start = 0
    for match in breakable.finditer(text):
        yield text[start : match.start() + 1]
        start = match.start() + 1
    yield text[start:]
