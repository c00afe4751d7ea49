"""Grammar matchers in a process of their own, for grammars of unbounded cost."""

from __future__ import annotations

import base64
import itertools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, cast

from kronk_agent.confined import Answer, Confined, ConfinedError
from kronk_agent.messages import JsonValue

COMPILE_SECONDS: Final = 5.0
STEP_SECONDS: Final = 1.0
MEMORY_MIB: Final = 1024


class TokenMatcher(Protocol):
    """The methods of llguidance's ``LLMatcher`` used here.

    They never raise; a failure becomes the matcher's permanent error.
    """

    def deep_copy(self) -> TokenMatcher:
        """Copy the matcher at its present position."""
        ...

    def is_error(self) -> bool:
        """True if the matcher has failed."""
        ...

    def get_error(self) -> str:
        """Error text; empty without an error."""
        ...

    def is_stopped(self) -> bool:
        """True if nothing can follow, or after an error."""
        ...

    def validate_tokens(self, tokens: list[int], /) -> int:
        """Number of leading tokens that are allowed; consumes nothing."""
        ...

    def compute_bitmask(self) -> bytes:
        """Bit mask of the allowed tokens, lowest bit first."""
        ...

    def consume_token(self, token: int, /) -> bool:
        """Advance by a token."""
        ...

    def consume_tokens(self, tokens: list[int], /) -> bool:
        """Advance by tokens."""
        ...

    def compute_ff_tokens(self) -> list[int]:
        """Tokens that must come next; consumes nothing."""
        ...


class IsolatedGrammar:
    """A process that holds one grammar and its matchers.

    Args:
        model: the GGUF file with the vocabulary.
    """

    def __init__(self, model: Path) -> None:
        self._process = Confined(f"{__name__}:open_service", str(model), memory_mib=MEMORY_MIB)
        self._ids = itertools.count()
        self._dropped: list[JsonValue] = []
        """Ids of matchers no longer used; sent with the next call."""

    def compile(self, source: str) -> IsolatedMatcher:
        """Compile a grammar and return a matcher at its start; the matcher may have an error."""
        return IsolatedMatcher(self, None, "compile", source, seconds=COMPILE_SECONDS)

    def close(self) -> None:
        """Kill the process. Idempotent."""
        self._process.close()

    def call(self, matcher: int, method: str, argument: JsonValue, seconds: float) -> list[Any]:
        """Call a method of a matcher in the process.

        Returns:
            The result, whether the matcher is stopped now, and its error text.
        """
        dropped, self._dropped = self._dropped, []
        question: JsonValue = [matcher, method, argument, dropped]
        try:
            return cast("list[Any]", self._process.ask(question, seconds=seconds))
        except ConfinedError as error:
            return [None, True, f"it {error}: simplify it"]

    def next_id(self) -> int:
        """Id for a new matcher."""
        return next(self._ids)

    def drop(self, matcher: int) -> None:
        """Mark a matcher as no longer used."""
        self._dropped.append(matcher)


class IsolatedMatcher:
    """A ``TokenMatcher`` that runs in the grammar's process."""

    def __init__(
        self,
        grammar: IsolatedGrammar,
        origin: int | None,
        method: str,
        argument: JsonValue = None,
        *,
        seconds: float = STEP_SECONDS,
    ) -> None:
        self._grammar = grammar
        self._id = grammar.next_id()
        self._is_stopped = False
        self._error = ""
        weakref.finalize(self, grammar.drop, self._id)
        self._call(method, [origin, argument], seconds=seconds)

    def deep_copy(self) -> IsolatedMatcher:
        """Copy the matcher at its present position."""
        return IsolatedMatcher(self._grammar, self._id, "copy")

    def is_error(self) -> bool:
        """True if the matcher or its process has failed."""
        return bool(self._error)

    def get_error(self) -> str:
        """Error text; empty without an error."""
        return self._error

    def is_stopped(self) -> bool:
        """True if nothing can follow, or after an error."""
        return self._is_stopped

    def validate_tokens(self, tokens: list[int]) -> int:
        """Number of leading tokens that are allowed."""
        return int(self._call("validate_tokens", list(tokens)) or 0)

    def compute_bitmask(self) -> bytes:
        """Bit mask of the allowed tokens; empty after an error."""
        return base64.b64decode(self._call("compute_bitmask") or "")

    def consume_token(self, token: int) -> bool:
        """Advance by a token."""
        return bool(self._call("consume_token", token))

    def consume_tokens(self, tokens: list[int]) -> bool:
        """Advance by tokens."""
        return bool(self._call("consume_tokens", list(tokens)))

    def compute_ff_tokens(self) -> list[int]:
        """Tokens that must come next."""
        return list(self._call("compute_ff_tokens") or ())

    def _call(
        self, method: str, argument: JsonValue = None, *, seconds: float = STEP_SECONDS
    ) -> Any:
        if self._error:
            return None
        reply = self._grammar.call(self._id, method, argument, seconds)
        result, self._is_stopped, self._error = reply
        return result


def open_service(model: str) -> Answer:
    """Serve the calls of ``IsolatedMatcher`` in the child process."""
    from kronk_agent.engine.llama.model_file import ModelFile
    from kronk_agent.engine.structured_output.constraint import new_matcher, new_tokenizer

    vocabulary = ModelFile(Path(model), is_described_only=True).vocabulary
    with vocabulary.in_use() as handle:
        tokenizer = new_tokenizer(vocabulary, handle)
    matchers: dict[int, TokenMatcher] = {}

    def answer(question: JsonValue) -> JsonValue:
        number, method, argument, dropped = cast("tuple[int, str, Any, list[int]]", question)
        for gone in dropped:
            matchers.pop(gone, None)
        result: JsonValue = None
        match method:
            case "compile":
                matchers[number] = new_matcher(argument[1], tokenizer)
            case "copy":
                matchers[number] = matchers[argument[0]].deep_copy()
            case "compute_bitmask":
                result = base64.b64encode(matchers[number].compute_bitmask()).decode()
            case "compute_ff_tokens":
                result = list[JsonValue](matchers[number].compute_ff_tokens())
            case _:
                call: Callable[[Any], int] = getattr(matchers[number], method)
                result = int(call(argument))
        matcher = matchers[number]
        return [result, matcher.is_stopped(), matcher.get_error() if matcher.is_error() else ""]

    return answer
