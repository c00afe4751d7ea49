"""Public interface of the engine: open, tokenize, compile, generate, close."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from collections.abc import Sequence as Many
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar, Unpack

import anyio
from anyio import to_thread

from kronk_agent.concurrency.channel import Channel
from kronk_agent.concurrency.closing import ClosedInThread
from kronk_agent.concurrency.opening import Opening
from kronk_agent.engine.kv_cache.kv_cache import KVCache
from kronk_agent.engine.kv_cache.prefix_cache import PrefixCache
from kronk_agent.engine.kv_cache.prefix_saver import PrefixSaver
from kronk_agent.engine.kv_cache.snapshot_name import snapshot_name
from kronk_agent.engine.kv_cache.state_files import StateFiles
from kronk_agent.engine.kv_cache.state_store import StateStore
from kronk_agent.engine.llama.binding import llama
from kronk_agent.engine.llama.context import keeps_any_prefix, new_context
from kronk_agent.engine.llama.model_file import EngineCapability, ModelFile
from kronk_agent.engine.llama.params import EngineParams, LoraAdapter
from kronk_agent.engine.request import CacheOptions, GenerateOptions, Request
from kronk_agent.engine.sampling.logprobs import TokenIdLogprob
from kronk_agent.engine.scheduling.scheduler import Scheduler, SequenceOutput
from kronk_agent.engine.sequence import Chunk, GenerationEnd, Priority
from kronk_agent.engine.stats import EngineStats
from kronk_agent.engine.structured_output.constraint import Constraint, ConstraintCompiler
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import ConstraintError, EngineError, InvalidRequestError, KronkError
from kronk_agent.settings import SamplingParams

__all__ = [
    "CacheOptions",
    "Chunk",
    "Constraint",
    "Engine",
    "EngineParams",
    "EngineStats",
    "GenerateOptions",
    "GenerationEnd",
    "LoraAdapter",
    "Pin",
    "Priority",
    "TokenIdLogprob",
    "Vocabulary",
]

_COMPILE_SECONDS = 30
_MIB = 1 << 20

T = TypeVar("T")


class Engine(ClosedInThread):
    """One loaded model. Any number of tasks may use it, all on the event loop it was opened on."""

    def __init__(
        self, model: ModelFile, params: EngineParams, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._model = model
        self._loop = loop
        self._is_closed = False
        self._context = new_context(model, params)
        self.context_length: int = llama.llama_n_ctx_seq(self._context)
        """Tokens one sequence may have, prompt and completion."""
        self._compiler = ConstraintCompiler(model.vocabulary, model.path)
        self._pins = itertools.count()
        self._pinned_tokens = 0
        requires_full_state = not keeps_any_prefix(model, params)
        self._store = StateStore(
            params.cache_ram_mib * _MIB, requires_full_state=requires_full_state
        )
        files = _state_files(model.path, params)
        self._cache = PrefixCache(
            KVCache(self._context, is_unified=params.kv_unified),
            self._store,
            num_ids=llama.llama_n_seq_max(self._context),
            requires_full_state=requires_full_state,
            files=files,
        )
        self.saves_prefixes: bool = files is not None
        """True if the ``shared_prefix`` of requests is saved to files."""
        self._scheduler = Scheduler(
            self._context,
            model.vocabulary,
            self._cache,
            PrefixSaver(
                files, self._cache, self._store, keeps_conversations=params.cache_conversations
            ),
            deliver=self._deliver,
            context_length=self.context_length,
            num_cells=llama.llama_n_ctx(self._context),
            batch_size=llama.llama_n_batch(self._context),
            max_sequences=params.max_sequences,
            queue_limit=params.queue_limit,
            speculation=params.speculation,
        )
        self._scheduler.start()

    @staticmethod
    async def open(path: Path, params: EngineParams = EngineParams()) -> Engine:
        """Load a GGUF file in a thread.

        Raises:
            ModelError: the file cannot be used, or memory does not suffice for the context.
            ConfigError: this build or machine does not support one of ``params``.
        """
        loop = asyncio.get_running_loop()

        def open_now() -> Engine:
            model = ModelFile(path, params)
            try:
                return Engine(model, params, loop)
            except BaseException:
                model.close()
                raise

        return await Opening(open_now).result()

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's vocabulary; usable from any thread until the engine is closed."""
        return self._model.vocabulary

    @property
    def chat_templates(self) -> Mapping[str, str]:
        """Jinja sources by name: ``default``, and ``tool_use`` if the model has one."""
        return self._model.chat_templates

    @property
    def capabilities(self) -> frozenset[EngineCapability]:
        """Tasks the model was made for."""
        return self._model.capabilities

    @property
    def description(self) -> str:
        """Architecture, number of parameters and bits per parameter, for display."""
        return self._model.description

    def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Convert a text to token ids.

        Args:
            text: any text.
            add_special: add the special tokens the model expects around a text (BOS, EOS).
            parse_special: turn the text of a special token into that token. Only for trusted text.
        """
        return self.vocabulary.tokenize(text, add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Many[int]) -> str:
        """Convert token ids to text, special tokens included; invalid UTF-8 becomes U+FFFD.

        Raises:
            InvalidRequestError: a token id is not in the vocabulary.
        """
        size = self.vocabulary.size
        wrong = next((token for token in tokens if not 0 <= token < size), None)
        if wrong is not None:
            raise InvalidRequestError(
                f"tokens: unknown token id {wrong}; this model's are 0 to {size - 1}",
                param="tokens",
            )
        return self.vocabulary.detokenize(tokens)

    def count_tokens(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> int:
        """Count the tokens of a text; arguments as for ``tokenize``."""
        return len(self.tokenize(text, add_special=add_special, parse_special=parse_special))

    async def compile(
        self, grammar: str, parts: Mapping[str, str] | None = None, *, is_ours: bool = False
    ) -> Constraint:
        """Compile a Lark grammar (llguidance's dialect) in a thread, in bounded time.

        Args:
            grammar: Lark source.
            parts: further grammars by name; ``grammar`` refers to them as ``@name``.
            is_ours: the grammar itself is trusted; a client may have written schemas, patterns and
                ``parts`` in it.

        Raises:
            ConstraintError: the grammar is invalid, too long, over a limit, or too expensive.
            OverloadedError: another expensive grammar of the same caller is being compiled.
        """
        compiling = functools.partial(self._compiler.compile, grammar, parts, is_ours=is_ours)
        try:
            with anyio.fail_after(_COMPILE_SECONDS):
                return await to_thread.run_sync(compiling, abandon_on_cancel=True)
        except TimeoutError:
            raise ConstraintError(
                f"compiling the grammar took more than {_COMPILE_SECONDS} s: simplify it"
            ) from None

    async def generate(
        self, prompt: Many[int], *, sampling: SamplingParams, **options: Unpack[GenerateOptions]
    ) -> AsyncGenerator[Chunk, None]:
        """Generate a completion of a prompt of token ids; only the last chunk has an ``end``.

        Closing the generator cancels the sequence at the worker's next step.

        Raises:
            InvalidRequestError: the request is invalid; ``param`` names the argument.
            OverloadedError: the queue is full.
            DeadlineError: the deadline passed; chunks received before are valid.
            ConstraintError: the grammar failed during generation.
            EngineError: the engine failed or was closed.
        """
        request = Request(prompt=prompt, sampling=sampling, **options)
        async with aclosing(self._run([request])) as chunks:
            async for _, chunk in chunks:
                yield chunk

    async def generate_many(
        self,
        prompt: Many[int],
        n: int,
        *,
        sampling: SamplingParams,
        **options: Unpack[GenerateOptions],
    ) -> AsyncGenerator[tuple[int, Chunk], None]:
        """Generate ``n`` completions of one prompt, which is computed once.

        With a seed, completion i has seed + i.

        Yields:
            Each chunk with the index of its completion, 0 to n-1. Chunks of different completions
            are interleaved; the last one of each has an ``end``.

        Raises:
            InvalidRequestError, OverloadedError, DeadlineError, ConstraintError, EngineError: as
                for ``generate``; one error ends all completions.
        """
        request = Request(prompt=prompt, sampling=sampling, **options)
        async with aclosing(self._run(request.copies(n))) as chunks:
            async for index, chunk in chunks:
                yield index, chunk

    async def pin(self, tokens: Many[int]) -> Pin:
        """Compute a prefix of future prompts and keep it cached until the pin is released.

        Raises:
            InvalidRequestError: pinned tokens would take more than half of the context.
            OverloadedError, EngineError: as for ``generate``.
        """
        if self._pinned_tokens + len(tokens) > self.context_length // 2:
            raise InvalidRequestError(
                f"cannot pin {len(tokens)} tokens: at most half of the context "
                f"({self.context_length // 2} tokens), {self._pinned_tokens} are pinned",
                param="tokens",
            )
        pin = Pin(self, next(self._pins), tuple(tokens))
        self._pinned_tokens += len(tokens)
        try:
            request = Request(prompt=tokens, sampling=SamplingParams(), max_tokens=0)
            async with aclosing(self._run([request], pin=pin.number)) as chunks:
                async for _ in chunks:
                    pass
        except BaseException:
            self._unpin(pin)
            raise
        return pin

    async def stats(self) -> EngineStats:
        """Snapshot of the engine between two steps.

        Raises:
            EngineError: the engine is closed.
        """
        return await self._run_between_steps(self._scheduler.stats)

    async def check(self) -> None:
        """Assert that the engine's bookkeeping of the KV cache is consistent. For tests.

        Raises:
            AssertionError: it is not.
            EngineError: the engine is closed.
        """
        await self._run_between_steps(self._scheduler.check)

    async def _run(
        self, requests: list[Request], *, pin: int | None = None
    ) -> AsyncGenerator[tuple[int, Chunk], None]:
        """Run requests concurrently; all but the first reuse the prompt the first one computes."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("an engine must be used on the event loop it was opened on")
        for request in requests:
            request.check(vocabulary_size=self.vocabulary.size, context_length=self.context_length)
        # Bounded by max_tokens, so it needs no limit: the worker never waits for the reader.
        channel: Channel[tuple[int, Chunk | KronkError]] = Channel()

        def sink(index: int, item: Chunk | KronkError) -> None:
            channel.put((index, item))

        sequences = [
            request.sequence(functools.partial(sink, index), context_length=self.context_length)
            for index, request in enumerate(requests)
        ]
        leader, *followers = sequences
        leader.pin = pin
        for follower in followers:
            follower.leader = leader
        num_running = len(sequences)
        try:
            self._scheduler.submit(sequences)
            while num_running:
                index, item = await channel.get()
                if isinstance(item, KronkError):
                    raise item
                yield index, item
                num_running -= item.end is not None
        finally:
            for sequence in sequences:
                self._scheduler.cancel(sequence)

    def _deliver(self, outputs: list[SequenceOutput]) -> None:
        """Pass outputs from the worker thread to the event loop without waiting for it."""

        def flush() -> None:
            for sink, item in outputs:
                sink(item)

        with contextlib.suppress(RuntimeError):  # the event loop is closed, so nothing waits
            self._loop.call_soon_threadsafe(flush)

    async def _run_between_steps(self, callback: Callable[[], T]) -> T:
        """Call a function on the worker thread between two steps and return its result."""
        done: asyncio.Future[T] = self._loop.create_future()

        def settle(set_result: Callable[[Any], None], value: Any) -> None:
            if not done.done():  # done if the waiting task was cancelled
                set_result(value)

        def run() -> None:
            try:
                outcome: tuple[Callable[[Any], None], Any] = (done.set_result, callback())
            except Exception as error:  # noqa: BLE001 (raised in the waiting task)
                outcome = (done.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(settle, *outcome)

        self._scheduler.call_soon(run)
        return await done

    def _unpin(self, pin: Pin) -> None:
        self._pinned_tokens -= len(pin.tokens)
        callback = functools.partial(self._cache.unpin, pin.number, pin.tokens)
        with contextlib.suppress(EngineError):  # a closed engine has released everything
            self._scheduler.call_soon(callback)

    def close_now(self) -> None:
        """End all sequences with an error and free the model; blocks. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._compiler.close()
        self._scheduler.close()
        llama.llama_free(self._context)
        self._model.close()


class Pin:
    """A prefix kept in the KV cache, or offloaded and restorable, until it is released."""

    def __init__(self, engine: Engine, number: int, tokens: tuple[int, ...]) -> None:
        self.number = number
        self.tokens = tokens
        self._engine = engine
        self._is_held = True

    def release(self) -> None:
        """Allow the prefix to be evicted like any other. Idempotent."""
        if self._is_held:
            self._is_held = False
            self._engine._unpin(self)


def _state_files(model: Path, params: EngineParams) -> StateFiles | None:
    if params.cache_dir is None or not params.cache_disk_mib:
        return None
    name = snapshot_name(model, params)
    return StateFiles(params.cache_dir, name, params.cache_disk_mib * _MIB)
