"""Tiny GGUF files with random weights, written in an instant, for what the starter model is not:
recurrent, hybrid, with a sliding window, made to embed or to rank. The same call gives the same
file. What they say is nonsense, but as much a function of their input as with any other model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import gguf
import numpy as np
from numpy.typing import NDArray

Pooling: TypeAlias = Literal["none", "mean", "cls", "last", "rank"]

CONTEXT = 4096
"""Tokens these models are made for; 512 for BERT."""
BERT_CONTEXT = 512
WIDTH = 64
WINDOW = 32
"""Tokens the sliding window of ``TinyModels.gemma`` holds, in one of its two layers."""

_LAYERS = 2
_HEADS = 2
_HEAD = WIDTH // _HEADS
_INNER = 2 * WIDTH
_POOLING: dict[Pooling, gguf.PoolingType] = {
    "none": gguf.PoolingType.NONE,
    "mean": gguf.PoolingType.MEAN,
    "cls": gguf.PoolingType.CLS,
    "last": gguf.PoolingType.LAST,
    "rank": gguf.PoolingType.RANK,
}
_FIM = {
    "<|fim_prefix|>": gguf.Keys.Tokenizer.FIM_PRE_ID,
    "<|fim_suffix|>": gguf.Keys.Tokenizer.FIM_SUF_ID,
    "<|fim_middle|>": gguf.Keys.Tokenizer.FIM_MID_ID,
}


class TinyModels:
    """The files, each written into ``folder`` when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def llama(self) -> Path:
        """Plain attention, every layer over everything."""
        with _model(self._folder / "llama.gguf", "llama") as file:
            _transformer(file)
        return file.path

    @cached_property
    def llama_with_fim(self) -> Path:
        """The same with tokens to fill in the middle."""
        with _model(self._folder / "fim.gguf", "llama", special=tuple(_FIM)) as file:
            _transformer(file)
        return file.path

    @cached_property
    def gemma(self) -> Path:
        """Gemma 3's kind: the first layer has a sliding window, the second sees everything."""
        with _model(self._folder / "gemma.gguf", "gemma3") as file:
            file.gguf.add_sliding_window(WINDOW)
            file.gguf.add_sliding_window_pattern(2)
            _transformer(file)
            for block in _blocks():
                for norm in ("post_attention_norm", "post_ffw_norm"):
                    file.ones(f"{block}.{norm}.weight", WIDTH)
                for norm in ("attn_q_norm", "attn_k_norm"):
                    file.ones(f"{block}.{norm}.weight", _HEAD)
        return file.path

    @cached_property
    def mamba(self) -> Path:
        """Recurrent: a state of fixed size in place of a memory of tokens."""
        with _model(self._folder / "mamba.gguf", "mamba") as file:
            _ssm_sizes(file)
            for block in _blocks():
                file.ones(f"{block}.attn_norm.weight", WIDTH)
                _ssm(file, block)
        return file.path

    @cached_property
    def jamba(self) -> Path:
        """Hybrid: a recurrent layer, then one of attention."""
        with _model(self._folder / "jamba.gguf", "jamba", heads_kv=[0, 1]) as file:
            _ssm_sizes(file)
            recurrent, attentive = _blocks()
            _ssm(file, recurrent)
            file.ones(f"{recurrent}.ssm_dt_norm.weight", _DT_RANK)
            file.ones(f"{recurrent}.ssm_b_norm.weight", _STATE)
            file.ones(f"{recurrent}.ssm_c_norm.weight", _STATE)
            _attention(file, attentive)
            for block in (recurrent, attentive):
                file.ones(f"{block}.attn_norm.weight", WIDTH)
                _feed_forward(file, block)
        return file.path

    @cached_property
    def lora(self) -> Path:
        """An adapter for ``llama``."""
        path = self._folder / "lora.gguf"
        return write_lora(path, tensor="blk.0.attn_q.weight", shape=(WIDTH, WIDTH))

    def bert(self, pooling: Pooling) -> Path:
        """BERT, which does not generate; ``rank`` has a head that gives one score."""
        path = self._folder / f"bert-{pooling}.gguf"
        return path if path.exists() else write_bert(path, pooling)


def write_bert(path: Path, pooling: Pooling, *, labels: tuple[str, ...] = ()) -> Path:
    """A BERT; with ``rank``, one output for each label, or a single one without labels."""
    file = _File(path, "bert")
    writer = file.gguf
    writer.add_context_length(BERT_CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(_POOLING[pooling])
    vocabulary = _word_pieces(writer)
    writer.add_token_type_count(2)
    file.random("token_embd.weight", len(vocabulary), WIDTH, deviation=1.0)
    file.random("token_types.weight", 2, WIDTH)
    file.random("position_embd.weight", BERT_CONTEXT, WIDTH)
    file.layer_norm("token_embd_norm")
    for block in _blocks():
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            file.linear(f"{block}.{name}", WIDTH, WIDTH)
        file.layer_norm(f"{block}.attn_output_norm")
        file.linear(f"{block}.ffn_up", _INNER, WIDTH)
        file.linear(f"{block}.ffn_down", WIDTH, _INNER)
        file.layer_norm(f"{block}.layer_output_norm")
    if pooling == "rank":
        file.linear("cls", WIDTH, WIDTH)
        file.linear("cls.output", max(1, len(labels)), WIDTH)
        if labels:
            writer.add_classifier_output_labels(labels)
    file.close()
    return path


def write_lora(
    path: Path, *, tensor: str, shape: tuple[int, int], architecture: str = "llama", rank: int = 4
) -> Path:
    """A LoRA adapter for one tensor of a model, whose weight has the shape (rows, columns)."""
    file = _File(path, architecture)
    file.gguf.add_type(gguf.GGUFType.ADAPTER)
    file.gguf.add_string(gguf.Keys.Adapter.TYPE, "lora")
    file.gguf.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))
    rows, columns = shape
    file.random(f"{tensor}.lora_a", rank, columns, deviation=1.0)
    file.random(f"{tensor}.lora_b", rows, rank, deviation=1.0)
    file.close()
    return path


class _File:
    """A GGUF file being written."""

    def __init__(self, path: Path, architecture: str) -> None:
        self.path = path
        self.gguf = gguf.GGUFWriter(path, architecture)
        self._random = np.random.default_rng(7)

    def random(self, name: str, *shape: int, deviation: float | None = None) -> None:
        """Normally distributed weights that keep the size of what they are applied to."""
        scale = float(shape[-1]) ** -0.5 if deviation is None else deviation
        self.add(name, self._random.normal(0.0, scale, shape))

    def ones(self, name: str, size: int) -> None:
        self.add(name, np.ones(size))

    def linear(self, name: str, rows: int, columns: int) -> None:
        self.random(f"{name}.weight", rows, columns)
        self.random(f"{name}.bias", rows, deviation=0.1)

    def layer_norm(self, name: str) -> None:
        self.add(f"{name}.weight", self._random.normal(1.0, 0.1, WIDTH))
        self.random(f"{name}.bias", WIDTH, deviation=0.1)

    def add(self, name: str, values: NDArray[np.float64]) -> None:
        self.gguf.add_tensor(name, values.astype(np.float32))

    def close(self) -> None:
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()


@contextmanager
def _model(
    path: Path,
    architecture: str,
    *,
    special: tuple[str, ...] = (),
    heads_kv: list[int] | int = 1,
) -> Iterator[_File]:
    """A model that generates: all that its layers do not need is there already."""
    file = _File(path, architecture)
    writer = file.gguf
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(heads_kv)
    writer.add_key_length(_HEAD)
    writer.add_value_length(_HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    size = _pieces(writer, special)
    file.random("token_embd.weight", size, WIDTH, deviation=1.0)
    file.random("output.weight", size, WIDTH, deviation=1.0)
    file.ones("output_norm.weight", WIDTH)
    yield file
    file.close()


def _blocks() -> list[str]:
    return [f"blk.{layer}" for layer in range(_LAYERS)]


def _transformer(file: _File) -> None:
    for block in _blocks():
        file.ones(f"{block}.attn_norm.weight", WIDTH)
        _attention(file, block)
        _feed_forward(file, block)


def _attention(file: _File, block: str) -> None:
    file.random(f"{block}.attn_q.weight", WIDTH, WIDTH)
    file.random(f"{block}.attn_k.weight", _HEAD, WIDTH)
    file.random(f"{block}.attn_v.weight", _HEAD, WIDTH)
    file.random(f"{block}.attn_output.weight", WIDTH, WIDTH)


def _feed_forward(file: _File, block: str) -> None:
    file.ones(f"{block}.ffn_norm.weight", WIDTH)
    file.random(f"{block}.ffn_gate.weight", _INNER, WIDTH)
    file.random(f"{block}.ffn_up.weight", _INNER, WIDTH)
    file.random(f"{block}.ffn_down.weight", WIDTH, _INNER)


_CONVOLUTION, _STATE, _DT_RANK = 4, 16, 4


def _ssm_sizes(file: _File) -> None:
    file.gguf.add_ssm_conv_kernel(_CONVOLUTION)
    file.gguf.add_ssm_inner_size(_INNER)
    file.gguf.add_ssm_state_size(_STATE)
    file.gguf.add_ssm_time_step_rank(_DT_RANK)


def _ssm(file: _File, block: str) -> None:
    file.random(f"{block}.ssm_in.weight", 2 * _INNER, WIDTH)
    file.random(f"{block}.ssm_conv1d.weight", _INNER, _CONVOLUTION)
    file.random(f"{block}.ssm_conv1d.bias", _INNER, deviation=0.1)
    file.random(f"{block}.ssm_x.weight", _DT_RANK + 2 * _STATE, _INNER)
    file.random(f"{block}.ssm_dt.weight", _INNER, _DT_RANK)
    file.random(f"{block}.ssm_dt.bias", _INNER, deviation=0.1)
    # Mamba's A is negative: the state decays, here slowly enough to remember a conversation.
    decay = np.linspace(0.01, 1.0, _STATE)
    file.add(f"{block}.ssm_a", -np.tile(decay, (_INNER, 1)))
    file.ones(f"{block}.ssm_d", _INNER)
    file.random(f"{block}.ssm_out.weight", WIDTH, _INNER)


def _pieces(writer: gguf.GGUFWriter, special: tuple[str, ...]) -> int:
    """A SentencePiece vocabulary of bytes, characters and a few words."""
    control = ["<s>", "</s>", *special]
    words = ["▁the", "▁a", "▁is", "▁of", "▁and", "th", "he", "in", "er", "an", "on", "▁one", "▁two"]
    characters = ["▁", *(chr(code) for code in range(33, 127))]
    tokens = [
        ("<unk>", 0.0, gguf.TokenType.UNKNOWN),
        *((text, 0.0, gguf.TokenType.CONTROL) for text in control),
        *((f"<0x{byte:02X}>", 0.0, gguf.TokenType.BYTE) for byte in range(256)),
        *((text, -1.0 - i, gguf.TokenType.NORMAL) for i, text in enumerate(words)),
        *((text, -100.0, gguf.TokenType.NORMAL) for text in characters),
    ]
    writer.add_tokenizer_model("llama")
    _add_tokens(writer, tokens)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for text in special:
        writer.add_uint32(_FIM[text], 1 + control.index(text))
    return len(tokens)


def _word_pieces(writer: gguf.GGUFWriter) -> list[str]:
    """A WordPiece vocabulary of letters, alone and inside words, and a few words."""
    control = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    words = ["the", "paris", "france", "capital", "cat", "dog", "tea", "water", "is", "of", "what"]
    # llama.cpp marks the beginning of a word, where BERT's own file marks the rest of one.
    texts = [*(f"▁{text}" for text in (*words, *letters)), *letters]
    tokens = [
        *((text, 0.0, gguf.TokenType.CONTROL) for text in control),
        *((text, 0.0, gguf.TokenType.NORMAL) for text in texts),
    ]
    writer.add_tokenizer_model("bert")
    _add_tokens(writer, tokens)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    return [text for text, _, _ in tokens]


def _add_tokens(writer: gguf.GGUFWriter, tokens: list[tuple[str, float, gguf.TokenType]]) -> None:
    texts, scores, kinds = zip(*tokens, strict=True)
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(texts))
    writer.add_token_scores(list(scores))
    writer.add_token_types(list(kinds))
