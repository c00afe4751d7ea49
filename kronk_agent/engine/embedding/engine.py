"""Embeddings and rankings: texts in, vectors or scores out, many inputs in one batch.

An engine of its own, beside the one that generates: an input is one pass and leaves nothing behind,
so there is no cache, no sampling and no fairness but taking the requests in turn.
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
from kronk_agent.engine.llama.model_file import Capability, ModelFile
from kronk_agent.engine.llama.params import EngineParams, Pooling
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import InvalidRequestError, KronkError, ModelError

__all__ = ["EmbeddingEngine", "EmbeddingInput", "Embeddings", "Ranking"]

EmbeddingInput: TypeAlias = str | Many[int]
"""A text, which gets the special tokens the model wants around it, or token ids, taken as they are.
The text of a special token in a text is only text."""

DEFAULT_LONGEST = 2048
"""Tokens of an input, where the model has more and nothing is asked for."""
_POOLING = {
    "mean": llama.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama.LLAMA_POOLING_TYPE_CLS,
    "last": llama.LLAMA_POOLING_TYPE_LAST,
    "rank": llama.LLAMA_POOLING_TYPE_RANK,
}


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A vector for each input."""

    vectors: NDArray[np.float32]
    """Shape (inputs, dimensions)."""
    num_tokens: int
    """Tokens of all inputs together."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well documents answer a query."""

    scores: tuple[float, ...]
    """One for each document, in their order; higher is better. As the model's head gives them:
    most models' have no bounds, Qwen3's are probabilities."""
    num_tokens: int
    """Tokens of all pairs together."""


class EmbeddingEngine(ClosedInThread):
    """One loaded model that embeds or ranks. Use it from the event loop it was opened on, from any
    number of tasks."""

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
        """Tokens one input may have."""
        self.dimensions: int = llama.llama_model_n_embd_out(model.handle)
        """Length of a whole vector."""
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
        """Load a GGUF file, in a thread.

        Args:
            path: the file.
            params: as for generating, where they have a meaning here. ``context_length`` is what
                one input may have, None the model's own, 2048 at most; a batch has room for one
                such input at least.
            pooling: how an input's tokens become one vector; None is what the file says. A model
                made to generate has to be told: ``mean`` or ``last``.

        Raises:
            ModelError: the file cannot be used, or not with this pooling.
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
        return self._model.vocabulary

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the model was made for."""
        return self._model.capabilities

    @property
    def description(self) -> str:
        """Architecture, size, and how far it is quantised."""
        return self._model.description

    async def embed(
        self,
        inputs: Many[EmbeddingInput],
        *,
        dimensions: int | None = None,
        normalize: bool = True,
    ) -> Embeddings:
        """The vectors of the inputs, computed in batches with those of other calls.

        Args:
            inputs: texts or token ids.
            dimensions: cut the vectors to so many, for models trained that way (Matryoshka).
            normalize: scale the vectors, after cutting, to a Euclidean length of 1.

        Raises:
            InvalidRequestError: an input is empty, too long or has ids the model has not, there are
                none, ``dimensions`` is out of range, or the model ranks.
            OverloadedError: the queue is full.
            EngineError: the engine failed or was closed meanwhile.
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
        """Score documents by how well they answer a query, in batches with those of other calls.

        Raises:
            InvalidRequestError: the query is empty, it and a document are too long together, there
                are no documents, or the model embeds.
            OverloadedError: the queue is full.
            EngineError: the engine failed or was closed meanwhile.
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
                "with the query ",
            )
            for index, document in enumerate(documents)
        ]
        scores = await self._compute(pairs, "documents")
        return Ranking(tuple(scores[:, 0].tolist()), sum(map(len, pairs)))

    def close_now(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._worker.close()
        llama.llama_free(self._context)
        self._model.close()

    def _settings(self, params: EngineParams) -> Any:
        settings = context_settings(params)
        # Pooling needs an input whole in one pass: the batch, what is computed at once and the
        # memory, for models that have one, are all as long. llama.cpp aborts in a context that
        # averages unless that is a multiple of the sequences.
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
                f"{param} has token {wrong}, and this model's are 0 to {size - 1}", param=param
            )
        return self._checked(one, param)

    def _checked(self, tokens: Many[int], param: str, together: str = "") -> NDArray[np.int32]:
        if not tokens:
            raise InvalidRequestError(f"{param} is empty", param=param)
        if len(tokens) > self.max_input_tokens:
            raise InvalidRequestError(
                f"{param} has {together}{len(tokens)} tokens and an input may have "
                f"{self.max_input_tokens}: shorten it"
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
        """What pooling gives, a row for each input."""
        if not inputs:
            raise InvalidRequestError(f"{param} is empty", param=param)
        is_done = anyio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody is there
                self._loop.call_soon_threadsafe(is_done.set)

        job = EmbeddingJob(inputs, width=self._worker.width, on_end=wake)
        self._worker.submit(job)
        try:
            await is_done.wait()
        finally:
            job.is_cancelled = True  # of no effect on one that is done
        if isinstance(job.error, KronkError):
            raise job.error
        return job.results


def _choose_pooling(model: ModelFile, wanted: Pooling | None) -> Pooling:
    pooling: Pooling | None = wanted or model.pooling
    if pooling is None:
        raise ModelError(
            f"{model.path}: the file does not say how to embed with this model; choose pooling "
            + ("mean or last" if model.is_causal else "mean or cls")
        )
    if pooling == "rank" and model.pooling != "rank":
        raise ModelError(f"{model.path}: this model has no head to rank with")
    if pooling == "cls" and model.is_causal:
        raise ModelError(
            f"{model.path}: pooling cls takes the first token, which sees no other in this model; "
            "choose mean or last"
        )
    if model.has_encoder and llama.llama_model_has_decoder(model.handle):
        raise ModelError(f"{model.path}: models of an encoder and a decoder cannot embed here")
    return pooling
