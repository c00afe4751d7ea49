"""Validation of GGUF headers: what llama.cpp takes for granted."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

MAX_BLOCKS: Final = 512
"""``LLAMA_MAX_LAYERS`` of llama.cpp."""
_MAX_WIDTH: Final = 1 << 24
_MAX_VOCABULARY: Final = 1 << 23
_MAX_ALIGNMENT: Final = 1 << 20
_MAX_DIMENSIONS: Final = 4
_MAX_ELEMENTS: Final = 1 << 48

_FORMATS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"} | {
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_WIDTH_KEYS: Final = (
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "expert_count",
    "expert_used_count",
    "rope.dimension_count",
    "ssm.inner_size",
    "ssm.state_size",
    "vocab_size",
)
_PER_TOKEN_KEYS: Final = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type")

MetadataValue: TypeAlias = int | float | str


class HeaderError(ValueError):
    """The header is invalid or truncated; the message names the key or tensor."""


@dataclass(slots=True)
class _Header:
    """Contents of a header that are checked."""

    scalars: dict[str, MetadataValue] = field(default_factory=dict)
    """Metadata values that are not arrays, by key."""
    lengths: dict[str, int] = field(default_factory=dict)
    """Lengths of arrays, by key."""
    largest: dict[str, float] = field(default_factory=dict)
    """Largest values of short numeric arrays, by key."""
    tensors: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    """Dimensions and offset of tensors, by name."""
    end: int = 0
    """Length of the header in bytes."""


def check_header(path: Path) -> None:
    """Validate the header of a GGUF file. Takes milliseconds and reads nothing else.

    Raises:
        HeaderError: the header is truncated or invalid.
        OSError: the file cannot be read.
    """
    with _mapped(path) as data:
        header = _header_of(data)
        _check_numbers(header)
        _check_vocabulary(header)
        _check_tensors(header, len(data))


def read_metadata(path: Path) -> dict[str, MetadataValue]:
    """Read the metadata of a GGUF file, without arrays, by key.

    Raises:
        HeaderError: the header is truncated or of an unknown version.
        OSError: the file cannot be read.
    """
    with _mapped(path) as data:
        return _header_of(data).scalars


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _header_of(data: mmap.mmap) -> _Header:
    try:
        return _HeaderReader(data).header()
    except (struct.error, IndexError, OverflowError):
        raise HeaderError("the header is truncated") from None


def _check_numbers(header: _Header) -> None:
    architecture = header.scalars.get("general.architecture")
    blocks = header.scalars.get(f"{architecture}.block_count")
    if blocks is not None and not (isinstance(blocks, int) and 0 < blocks <= MAX_BLOCKS):
        raise HeaderError(f"{architecture}.block_count is {blocks}, not 1 to {MAX_BLOCKS}")
    for key, number in header.scalars.items():
        is_wrong = isinstance(number, float) and not math.isfinite(number)
        if is_wrong or (key.endswith("epsilon") and not _is_positive(number)):
            raise HeaderError(f"{key[:60]} is {number}")
    for name in _WIDTH_KEYS:
        key = f"{architecture}.{name}"
        for value in (header.scalars.get(key), header.largest.get(key)):
            if value is not None and not (isinstance(value, int | float) and value <= _MAX_WIDTH):
                raise HeaderError(f"{key} is {value}, more than {_MAX_WIDTH}")


def _is_positive(number: MetadataValue) -> bool:
    return isinstance(number, float) and number > 0


def _check_vocabulary(header: _Header) -> None:
    size = header.lengths.get("tokenizer.ggml.tokens")
    if size is None:
        return
    if not 0 < size <= _MAX_VOCABULARY:
        raise HeaderError(f"the vocabulary has {size} tokens, not 1 to {_MAX_VOCABULARY}")
    for key in _PER_TOKEN_KEYS:
        if header.lengths.get(key, size) != size:
            raise HeaderError(f"{key} has {header.lengths[key]} values for {size} tokens")


def _check_tensors(header: _Header, num_bytes: int) -> None:
    alignment = header.scalars.get("general.alignment", 32)
    is_power = isinstance(alignment, int) and 0 < alignment & -alignment == alignment
    if not is_power or not isinstance(alignment, int) or alignment > _MAX_ALIGNMENT:
        raise HeaderError(f"general.alignment is {alignment}, not a power of two")
    start = -(-header.end // alignment) * alignment
    for name, (dimensions, offset) in header.tensors.items():
        if not 0 < math.prod(dimensions) <= _MAX_ELEMENTS:
            raise HeaderError(f"tensor {name[:60]!r} has the dimensions {dimensions}")
        if offset % alignment or start + offset >= num_bytes:
            raise HeaderError(f"tensor {name[:60]!r} is outside the file, which is truncated")


class _HeaderReader:
    """Parses a header sequentially."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4  # after the magic number

    def header(self) -> _Header:
        """Parse the whole header."""
        header = _Header()
        (version,) = self._unpack("<I")
        if version not in (2, 3):
            raise HeaderError(f"unsupported GGUF version {version}; supported: 2, 3")
        num_tensors, num_values = self._unpack("<QQ")
        for _ in range(num_values):
            self._read_value(header, self._string(), self._unpack("<I")[0])
        for _ in range(num_tensors):
            name = self._string()
            (num_dimensions,) = self._unpack("<I")
            if num_dimensions > _MAX_DIMENSIONS:
                raise HeaderError(f"tensor {name[:60]!r} has {num_dimensions} dimensions")
            dimensions = self._unpack(f"<{num_dimensions}Q")
            _, offset = self._unpack("<IQ")
            header.tensors[name] = (dimensions, offset)
        header.end = self._at
        return header

    def _read_value(self, header: _Header, key: str, kind: int) -> None:
        if kind == _STRING:
            header.scalars[key] = self._string()
        elif kind != _ARRAY:
            header.scalars[key] = self._unpack("<" + _format(key, kind))[0]
        else:
            inner, length = self._unpack("<IQ")
            header.lengths[key] = length
            if inner == _STRING:
                self._skip_strings(length)
                return
            size = struct.calcsize("<" + _format(key, inner))
            if length * size > len(self._data) - self._at:
                raise HeaderError(f"{key} has {length} values, more than the file holds")
            if 0 < length <= MAX_BLOCKS:
                header.largest[key] = max(self._unpack(f"<{length}{_format(key, inner)}"))
            else:
                self._at += length * size

    def _skip_strings(self, count: int) -> None:
        # Inlined for speed: there may be half a million strings.
        data, at, read = self._data, self._at, struct.Struct("<Q").unpack_from
        for _ in range(count):
            at += 8 + read(data, at)[0]
        self._at = at

    def _string(self) -> str:
        (length,) = self._unpack("<Q")
        if length > len(self._data) - self._at:
            raise HeaderError("a string is longer than the file")
        text = self._data[self._at : self._at + length]
        self._at += length
        return text.decode("utf-8", "replace")

    def _unpack(self, format: str) -> tuple[int, ...]:
        values = struct.unpack_from(format, self._data, self._at)
        self._at += struct.calcsize(format)
        return values


def _format(key: str, kind: int) -> str:
    if kind not in _FORMATS:
        raise HeaderError(f"{key[:60]!r} has the unknown type {kind}")
    return _FORMATS[kind]
