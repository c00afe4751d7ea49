"""Engine for embeddings and reranking: texts in, vectors or scores out, many inputs per batch.

It is separate from the generating engine: an input takes one pass and leaves no state, so it needs
no cache, no sampling and no scheduling other than serving requests in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import numpy as np
from numpy.typing import NDArray

from kronk_agent.concurrency.closing import ClosedInThread
from kronk_agent.concurrency.opening import Opening
from kronk_agent.engine.embedding.rerank_prompt import rerank_prompt
from kronk_agent.engine.embedding.worker import EmbeddingJob, EmbeddingWorker
from kronk_agent.engine.llama.binding import llama
from kronk_agent.engine.llama.context import context_length, context_settings, open_context
from kronk_agent.engine.llama.model_file import EngineCapability, ModelFile
from kronk_agent.engine.llama.params import EngineParams, Pooling
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import InvalidRequestError, KronkError, ModelError

__all__ = ["EmbeddingEngine", "EmbeddingInput", "Embeddings", "Ranking"]

EmbeddingInput: TypeAlias = str | Many[int]
"""A text, to which the special tokens the model expects are added, or token ids, used unchanged.
The text of a special token inside a text is plain text."""

DEFAULT_LONGEST = 2048
"""Maximum tokens of an input if no context length is configured."""
_POOLING = {
    "mean": llama.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama.LLAMA_POOLING_TYPE_CLS,
    "last": llama.LLAMA_POOLING_TYPE_LAST,
    "rank": llama.LLAMA_POOLING_TYPE_RANK,
}


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of inputs."""

    vectors: NDArray[np.float32]
    """Shape (inputs, dimensions)."""
    num_tokens: int
    """Total tokens of all inputs."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Relevance scores of documents for a query."""

    scores: tuple[float, ...]
    """One per document, in the order of the documents; higher is better. The output of the model's
    head: unbounded for most models, probabilities for Qwen3."""
    num_tokens: int
    """Total tokens of all pairs."""


class EmbeddingEngine(ClosedInThread):
    """One loaded model that embeds or ranks.

    Any number of tasks may use it, all on the event loop it was opened on.
    """

    def __init__(
        self,
        model: ModelFile,
        params: EngineParams,
        pooling: Pooling | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._model = model
        self._loop = loop
        self._is_closed = False
        self.pooling: Pooling = _choose_pooling(model, pooling)
        self.max_input_tokens = context_length(model, params, at_most=DEFAULT_LONGEST)
        """Maximum tokens of one input."""
        self.dimensions: int = llama.llama_model_n_embd_out(model.handle)
        """Length of a vector that is not cut."""
        self._context = open_context(model, params, self._settings(params))
        is_ranking = self.pooling == "rank"
        self._worker = EmbeddingWorker(
            self._context,
            compute=llama.llama_encode if model.has_encoder else llama.llama_decode,
            num_rows=llama.llama_n_batch(self._context),
            max_sequences=params.max_sequences,
            width=llama.llama_model_n_cls_out(model.handle) if is_ranking else self.dimensions,
            queue_limit=params.queue_limit,
        )
        self._worker.start()

    @staticmethod
    async def open(
        path: Path, params: EngineParams = EngineParams(), *, pooling: Pooling | None = None
    ) -> EmbeddingEngine:
        """Load a GGUF file in a thread.

        Args:
            path: the file.
            params: load options; those for generation only are ignored. ``context_length`` is the
                maximum length of one input, None the model's own, at most 2048; a batch always has
                room for one such input.
            pooling: how an input's tokens become one vector; None is what the file says. Required
                for models made to generate: ``mean`` or ``last``.

        Raises:
            ModelError: the file cannot be used, or not with this pooling.
            ConfigError: this build or machine does not support one of ``params``.
        """
        loop = asyncio.get_running_loop()

        def open_now() -> EmbeddingEngine:
            model = ModelFile(path, params)
            try:
                return EmbeddingEngine(model, params, pooling, loop)
            except BaseException:
                model.close()
                raise

        return await Opening(open_now).result()

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's vocabulary; usable from any thread until the engine is closed."""
        return self._model.vocabulary

    @property
    def capabilities(self) -> frozenset[EngineCapability]:
        """Tasks the model was made for."""
        return self._model.capabilities

    @property
    def description(self) -> str:
        """Architecture, number of parameters and bits per parameter, for display."""
        return self._model.description

    async def embed(
        self,
        inputs: Many[EmbeddingInput],
        *,
        dimensions: int | None = None,
        normalize: bool = True,
    ) -> Embeddings:
        """Compute the vectors of inputs, batched with those of other calls.

        Args:
            inputs: texts or token ids.
            dimensions: cut the vectors to this length, for models trained for it (Matryoshka).
            normalize: scale the vectors, after cutting, to a Euclidean length of 1.

        Raises:
            InvalidRequestError: ``inputs`` is empty; an input is empty, too long or has unknown
                token ids; ``dimensions`` is out of range; or the model ranks.
            OverloadedError: the queue is full.
            EngineError: the engine failed or was closed.
        """
        if self.pooling == "rank":
            raise InvalidRequestError("this model ranks documents; it does not embed")
        if dimensions is not None and not 1 <= dimensions <= self.dimensions:
            raise InvalidRequestError(
                f"dimensions must be from 1 to {self.dimensions}, not {dimensions}",
                param="dimensions",
            )
        tokens = [self._tokens(one, f"input[{index}]") for index, one in enumerate(inputs)]
        vectors = (await self._compute(tokens, "input"))[:, :dimensions]
        if normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = np.divide(vectors, lengths, where=lengths > 0, out=np.zeros_like(vectors))
        return Embeddings(vectors, sum(map(len, tokens)))

    async def rerank(self, query: str, documents: Many[str]) -> Ranking:
        """Score documents by their relevance to a query, batched with those of other calls.

        Raises:
            InvalidRequestError: the query or ``documents`` is empty, the query and a document are
                too long together, or the model embeds.
            OverloadedError: the queue is full.
            EngineError: the engine failed or was closed.
        """
        if self.pooling != "rank":
            raise InvalidRequestError("this model embeds; it does not rank documents")
        if not query:
            raise InvalidRequestError("the query is empty", param="query")
        template = self._model.rerank_template
        pairs = [
            self._checked(
                rerank_prompt(self.vocabulary, template, query=query, document=document),
                f"documents[{index}]",
                " with the query",
            )
            for index, document in enumerate(documents)
        ]
        scores = await self._compute(pairs, "documents")
        return Ranking(tuple(scores[:, 0].tolist()), sum(map(len, pairs)))

    def close_now(self) -> None:
        """End all jobs with an error and free the model; blocks. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._worker.close()
        llama.llama_free(self._context)
        self._model.close()

    def _settings(self, params: EngineParams) -> Any:
        settings = context_settings(params)
        # Pooling needs the whole input in one pass, so n_batch, n_ubatch and n_ctx are equal.
        # With mean pooling llama.cpp aborts unless they are a multiple of n_seq_max.
        rows = max(params.batch_size, self.max_input_tokens)
        rows += -rows % params.max_sequences
        settings.n_ctx = settings.n_batch = settings.n_ubatch = rows
        settings.embeddings = True
        settings.pooling_type = _POOLING[self.pooling]
        return settings

    def _tokens(self, one: EmbeddingInput, param: str) -> NDArray[np.int32]:
        if isinstance(one, str):
            if not one:
                raise InvalidRequestError(f"{param} is empty", param=param)
            one = self.vocabulary.tokenize(one, parse_special=False, add_special=True)
        size = self.vocabulary.size
        wrong = next((token for token in one if not 0 <= token < size), None)
        if wrong is not None:
            raise InvalidRequestError(
                f"{param}: unknown token id {wrong}; this model's are 0 to {size - 1}",
                param=param,
            )
        return self._checked(one, param)

    def _checked(self, tokens: Many[int], param: str, together: str = "") -> NDArray[np.int32]:
        if not tokens:
            raise InvalidRequestError(f"{param} is empty", param=param)
        if len(tokens) > self.max_input_tokens:
            raise InvalidRequestError(
                f"{param}: at most {self.max_input_tokens} tokens, got {len(tokens)}{together}: "
                "shorten it"
                + (
                    ", or raise the model's context_length"
                    if self._can_raise_context_length
                    else ""
                ),
                param=param,
            )
        return np.array(tokens, np.int32)

    @property
    def _can_raise_context_length(self) -> bool:
        return self.max_input_tokens < self._model.trained_context_length

    async def _compute(self, inputs: list[NDArray[np.int32]], param: str) -> NDArray[np.float32]:
        """Compute the pooled output, one row per input."""
        if not inputs:
            raise InvalidRequestError(f"{param} is empty", param=param)
        is_done = anyio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed, so nothing waits
                self._loop.call_soon_threadsafe(is_done.set)

        job = EmbeddingJob(inputs, width=self._worker.width, on_end=wake)
        self._worker.submit(job)
        try:
            await is_done.wait()
        finally:
            job.is_cancelled = True  # no effect if it is done
        if isinstance(job.error, KronkError):
            raise job.error
        return job.results


def _choose_pooling(model: ModelFile, wanted: Pooling | None) -> Pooling:
    pooling: Pooling | None = wanted or model.pooling
    if pooling is None:
        raise ModelError(
            f"{model.path}: the file does not say how to pool; set pooling to "
            + ("mean or last" if model.is_causal else "mean or cls")
        )
    if pooling == "rank" and model.pooling != "rank":
        raise ModelError(f"{model.path}: this model has no ranking head, as pooling rank requires")
    if pooling == "cls" and model.is_causal:
        raise ModelError(
            f"{model.path}: pooling cls uses the first token, which sees no other token in this "
            "model; set pooling to mean or last"
        )
    if model.has_encoder and llama.llama_model_has_decoder(model.handle):
        raise ModelError(f"{model.path}: encoder-decoder models are not supported for embedding")
    return pooling
