"""The engine as others see it: open, tokenise, compile, generate, close."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import threading
from collections.abc import AsyncGenerator, Iterable, Mapping
from collections.abc import Sequence as Tokens
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import numpy as np
from anyio import to_thread
from anyio.streams.memory import MemoryObjectSendStream
from numpy.typing import NDArray

from kronk_agent.engine.binding import llama
from kronk_agent.engine.constraint import Constraint, ConstraintCompiler
from kronk_agent.engine.context import keeps_any_prefix, new_context
from kronk_agent.engine.logprobs import TokenLogprob
from kronk_agent.engine.model import ModelFile
from kronk_agent.engine.params import EngineParams, LoraAdapter
from kronk_agent.engine.prefix_cache import PrefixCache
from kronk_agent.engine.scheduler import Scheduler
from kronk_agent.engine.sequence import Chunk, GenerationEnd, Sequence
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import (
    ContextLengthError,
    InvalidRequestError,
    KronkError,
)
from kronk_agent.model import SamplingParams

__all__ = [
    "Chunk",
    "Constraint",
    "Engine",
    "EngineParams",
    "GenerationEnd",
    "LoraAdapter",
    "TokenLogprob",
    "Vocabulary",
]

_MAX_TOP_LOGPROBS = 20
"""As OpenAI's API."""


class Engine:
    """One loaded model. Use it from the event loop it was opened on, from any number of tasks."""

    def __init__(
        self, model: ModelFile, params: EngineParams, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._model = model
        self._loop = loop
        self._is_closed = False
        self._context = new_context(model, params)
        self.context_length: int = llama.llama_n_ctx(self._context)
        self._compiler = ConstraintCompiler(model.vocabulary)
        self._scheduler = Scheduler(
            self._context,
            model.vocabulary,
            PrefixCache(
                self._context,
                num_ids=llama.llama_n_seq_max(self._context),
                can_share=keeps_any_prefix(model, params),
            ),
            context_length=self.context_length,
            batch_size=llama.llama_n_batch(self._context),
            max_sequences=params.max_sequences,
            queue_limit=params.queue_limit,
        )
        self._scheduler.start()

    @staticmethod
    async def open(path: Path, params: EngineParams = EngineParams()) -> Engine:
        """Load a GGUF file, in a thread.

        Raises:
            ModelError: the file cannot be used, or there is not enough memory for the context.
        """
        opening = Opening(path, params, asyncio.get_running_loop())
        try:
            return await to_thread.run_sync(opening.run)
        except BaseException:
            opening.abandon()
            raise

    @property
    def vocabulary(self) -> Vocabulary:
        return self._model.vocabulary

    @property
    def chat_templates(self) -> Mapping[str, str]:
        """Jinja sources by name: ``default``, and ``tool_use`` where the model has one."""
        return self._model.chat_templates

    @property
    def description(self) -> str:
        """Architecture, size and quantisation, in llama.cpp's words."""
        return self._model.description

    async def compile(self, grammar: str) -> Constraint:
        """Compile a Lark grammar (llguidance's dialect), in a thread.

        Raises:
            ConstraintError: with the compiler's own words.
        """
        return await to_thread.run_sync(self._compiler.compile, grammar)

    async def generate(
        self,
        prompt: Tokens[int],
        *,
        sampling: SamplingParams,
        max_tokens: int | None = None,
        constraint: Constraint | None = None,
        top_logprobs: int | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """Generate after a prompt; the last chunk, and only it, has an ``end``.

        Closing the generator frees the sequence at the worker's next loop. ``max_tokens`` None, or
        more than the context has room for, means up to the context's end. ``top_logprobs`` from 0
        to 20 gives every token's logprob, from the raw logits, with so many alternatives; forced
        tokens are then not fast-forwarded.

        Raises:
            InvalidRequestError: the prompt is empty, too long, or has ids the model has not.
            OverloadedError: the queue is full.
            EngineError: the engine failed or was closed meanwhile.
        """
        self._check_tokens(prompt, "prompt")
        self._check_tokens(sampling.logit_bias, "logit_bias")
        if top_logprobs is not None and not 0 <= top_logprobs <= _MAX_TOP_LOGPROBS:
            raise InvalidRequestError(
                f"top_logprobs must be from 0 to {_MAX_TOP_LOGPROBS}, not {top_logprobs}",
                param="top_logprobs",
            )
        tokens = self._room_for(prompt, max_tokens)
        # Unbounded, but never longer than max_tokens: the worker waits for no reader.
        send, receive = anyio.create_memory_object_stream[Chunk | KronkError](math.inf)
        sequence = Sequence(
            tokens=tokens,
            num_prompt_tokens=len(prompt),
            num_tokens=len(prompt),
            params=sampling,
            constraint=constraint,
            sink=functools.partial(self._deliver, send),
            top_logprobs=top_logprobs,
        )
        try:
            self._scheduler.submit(sequence)
            async for item in receive:
                if isinstance(item, KronkError):
                    raise item
                yield item
                if item.end is not None:
                    return
        finally:
            self._scheduler.cancel(sequence)
            receive.close()
            send.close()

    def _deliver(
        self, stream: MemoryObjectSendStream[Chunk | KronkError], item: Chunk | KronkError
    ) -> None:
        """From the worker thread to whoever waits in ``generate``, without waiting for them."""

        def send() -> None:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                stream.send_nowait(item)  # refused when the reader has gone

        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody is there
            self._loop.call_soon_threadsafe(send)

    def _room_for(self, prompt: Tokens[int], max_tokens: int | None) -> NDArray[np.int32]:
        """An array that begins with the prompt and has room for what may follow."""
        if not prompt:
            raise InvalidRequestError("the prompt is empty", param="prompt")
        if max_tokens is not None and max_tokens < 1:
            raise InvalidRequestError(
                f"max_tokens must be at least 1, not {max_tokens}", param="max_tokens"
            )
        if len(prompt) >= self.context_length:
            raise ContextLengthError(
                num_prompt_tokens=len(prompt), context_length=self.context_length
            )
        room = self.context_length - len(prompt)
        tokens = np.empty(len(prompt) + min(max_tokens or room, room), np.int32)
        tokens[: len(prompt)] = prompt
        return tokens

    def _check_tokens(self, tokens: Iterable[int], param: str) -> None:
        size = self.vocabulary.size
        wrong = next((token for token in tokens if not 0 <= token < size), None)
        if wrong is not None:
            raise InvalidRequestError(
                f"{param} has token {wrong}, and this model's are 0 to {size - 1}", param=param
            )

    async def close(self) -> None:
        """End what is running with an error, and free the model. Waits for one decode step."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self.close_now)

    def close_now(self) -> None:
        """The same, blocking the thread it is called on."""
        if self._is_closed:
            return
        self._is_closed = True
        self._scheduler.close()
        llama.llama_free(self._context)
        self._model.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Opening:
    """An engine being opened in a thread, which nothing can stop, by a task, which may give up."""

    def __init__(self, path: Path, params: EngineParams, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._params = params
        self._event_loop = loop
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._is_abandoned = False

    def run(self) -> Engine:
        model = ModelFile(self._path, self._params)
        try:
            engine = Engine(model, self._params, self._event_loop)
        except BaseException:
            model.close()
            raise
        with self._lock:
            self._engine = engine
            is_wanted = not self._is_abandoned
        if not is_wanted:
            engine.close_now()
        return engine

    def abandon(self) -> None:
        """Nobody wants the engine any more, be it open already or not."""
        with self._lock:
            self._is_abandoned = True
            engine = self._engine
        if engine is not None:
            engine.close_now()
