"""The engine as others see it: open, tokenise, compile, generate, close."""

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
from kronk_agent.engine.llama.model_file import Capability, ModelFile
from kronk_agent.engine.llama.params import EngineParams, LoraAdapter
from kronk_agent.engine.request import CacheOptions, GenerateOptions, Request
from kronk_agent.engine.sampling.logprobs import TokenIdLogprob
from kronk_agent.engine.scheduling.scheduler import Scheduler, SequenceOutput
from kronk_agent.engine.sequence import Chunk, GenerationEnd, Priority
from kronk_agent.engine.stats import EngineStats
from kronk_agent.engine.structured_output.constraint import Constraint, ConstraintCompiler
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import ConstraintError, EngineError, InvalidRequestError, KronkError
from kronk_agent.model import SamplingParams

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
    """One loaded model. Use it from the event loop it was opened on, from any number of tasks."""

    def __init__(
        self, model: ModelFile, params: EngineParams, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._model = model
        self._loop = loop
        self._is_closed = False
        self._context = new_context(model, params)
        self.context_length: int = llama.llama_n_ctx_seq(self._context)
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
        """True if the ``shared_prefix`` of a request is saved to a file."""
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
        """Load a GGUF file, in a thread.

        Raises:
            ModelError: the file cannot be used, or there is not enough memory for the context.
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
        return self._model.vocabulary

    @property
    def chat_templates(self) -> Mapping[str, str]:
        """Jinja sources by name: ``default``, and ``tool_use`` where the model has one."""
        return self._model.chat_templates

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the model was made for."""
        return self._model.capabilities

    @property
    def description(self) -> str:
        """Architecture, size, and how far it is quantised."""
        return self._model.description

    def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Token ids of a text.

        Args:
            text: what to tokenise.
            add_special: add what the model wants around a text of its own (BOS, EOS).
            parse_special: may the text of a special token become that token? Only for trusted text.
        """
        return self.vocabulary.tokenize(text, add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Many[int]) -> str:
        """The text of token ids, special ones included; broken UTF-8 becomes U+FFFD.

        Raises:
            InvalidRequestError: there are ids that the model has not.
        """
        size = self.vocabulary.size
        wrong = next((token for token in tokens if not 0 <= token < size), None)
        if wrong is not None:
            raise InvalidRequestError(
                f"tokens has {wrong}, and this model's are 0 to {size - 1}", param="tokens"
            )
        return self.vocabulary.detokenize(tokens)

    def count_tokens(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> int:
        """How many tokens a text is; the arguments are those of ``tokenize``."""
        return len(self.tokenize(text, add_special=add_special, parse_special=parse_special))

    async def compile(
        self, grammar: str, parts: Mapping[str, str] | None = None, *, is_ours: bool = False
    ) -> Constraint:
        """Compile a Lark grammar (llguidance's dialect), in a thread and in bounded time.

        Args:
            grammar: the grammar.
            parts: further grammars by name, which it refers to as ``@name``.
            is_ours: no client wrote the grammar itself, only schemas, patterns and parts in it.

        Raises:
            ConstraintError: it is refused, too long, over a limit, or takes too much to compile.
            OverloadedError: another grammar that needs a process is being compiled for them.
        """
        compiling = functools.partial(self._compiler.compile, grammar, parts, is_ours=is_ours)
        try:
            with anyio.fail_after(_COMPILE_SECONDS):
                return await to_thread.run_sync(compiling, abandon_on_cancel=True)
        except TimeoutError:
            raise ConstraintError(
                f"the grammar took longer than {_COMPILE_SECONDS} s to compile: make it simpler"
            ) from None

    async def generate(
        self, prompt: Many[int], *, sampling: SamplingParams, **options: Unpack[GenerateOptions]
    ) -> AsyncGenerator[Chunk, None]:
        """Generate after a prompt of token ids; the last chunk, and only it, has an ``end``.

        Closing the generator frees the sequence at the worker's next loop.

        Raises:
            InvalidRequestError: the request can never work; ``param`` names the argument.
            OverloadedError: the queue is full.
            DeadlineError: the deadline passed; what came until then is good.
            EngineError: the engine failed or was closed meanwhile.
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
        """Generate ``n`` times after one prompt, which is computed once.

        Gives chunks with the index of their generation, 0 to n-1, as they come; each generation's
        last has an ``end``. With a seed, generation i has seed + i.

        Raises:
            InvalidRequestError, OverloadedError, DeadlineError, EngineError: as ``generate``, and
                they end all of them.
        """
        request = Request(prompt=prompt, sampling=sampling, **options)
        async with aclosing(self._run(request.copies(n))) as chunks:
            async for index, chunk in chunks:
                yield index, chunk

    async def pin(self, tokens: Many[int]) -> Pin:
        """Compute a prefix that many prompts will begin with, and keep it until it is let go.

        Raises:
            InvalidRequestError: there would be more pinned than half of the context.
            OverloadedError, EngineError: as ``generate``.
        """
        if self._pinned_tokens + len(tokens) > self.context_length // 2:
            raise InvalidRequestError(
                f"{len(tokens)} tokens are too many to pin: {self._pinned_tokens} are pinned, and "
                f"half of the context ({self.context_length // 2}) is the most",
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
        """A look at the engine between two steps.

        Raises:
            EngineError: the engine is closed.
        """
        return await self._between_steps(self._scheduler.stats)

    async def check(self) -> None:
        """Assert that the engine's books of its memory are right; for tests."""
        await self._between_steps(self._scheduler.check)

    async def _run(
        self, requests: list[Request], *, pin: int | None = None
    ) -> AsyncGenerator[tuple[int, Chunk], None]:
        """Run requests side by side; all but the first share what the first one computes."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("an engine is used from the event loop it was opened on")
        for request in requests:
            request.check(vocabulary_size=self.vocabulary.size, context_length=self.context_length)
        # Unbounded, but never longer than max_tokens: the worker waits for no reader.
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
        left = len(sequences)
        try:
            self._scheduler.submit(sequences)
            while left:
                index, item = await channel.get()
                if isinstance(item, KronkError):
                    raise item
                yield index, item
                left -= item.end is not None
        finally:
            for sequence in sequences:
                self._scheduler.cancel(sequence)

    def _deliver(self, outputs: list[SequenceOutput]) -> None:
        """From the worker thread to those who wait in ``generate``, without waiting for them."""

        def flush() -> None:
            for sink, item in outputs:
                sink(item)

        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody is there
            self._loop.call_soon_threadsafe(flush)

    async def _between_steps(self, callback: Callable[[], T]) -> T:
        """Have the worker call a function between two steps."""
        done: asyncio.Future[T] = self._loop.create_future()

        def settle(set_result: Callable[[Any], None], value: Any) -> None:
            if not done.done():  # nobody waits any more
                set_result(value)

        def run() -> None:
            try:
                outcome: tuple[Callable[[Any], None], Any] = (done.set_result, callback())
            except Exception as error:  # noqa: BLE001 (handed to who asked)
                outcome = (done.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(settle, *outcome)

        self._scheduler.call_soon(run)
        return await done

    def _unpin(self, pin: Pin) -> None:
        self._pinned_tokens -= len(pin.tokens)
        callback = functools.partial(self._cache.unpin, pin.number, pin.tokens)
        with contextlib.suppress(EngineError):  # a closed engine holds nothing any more
            self._scheduler.call_soon(callback)

    def close_now(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._compiler.close()
        self._scheduler.close()
        llama.llama_free(self._context)
        self._model.close()


class Pin:
    """A prefix that stays in the KV memory, or can be put back there, until it is let go."""

    def __init__(self, engine: Engine, number: int, tokens: tuple[int, ...]) -> None:
        self.number = number
        self.tokens = tokens
        self._engine = engine
        self._is_held = True

    def release(self) -> None:
        """Let it be evicted like the rest. It may be called again."""
        if self._is_held:
            self._is_held = False
            self._engine._unpin(self)


def _state_files(model: Path, params: EngineParams) -> StateFiles | None:
    if params.cache_dir is None or not params.cache_disk_mib:
        return None
    name = snapshot_name(model, params)
    return StateFiles(params.cache_dir, name, params.cache_disk_mib * _MIB)
