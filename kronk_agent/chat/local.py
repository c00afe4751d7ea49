"""A chat model in this process: template, dialect and engine together."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from anyio import to_thread

from kronk_agent.chat.dialects import Turn, dialect_for
from kronk_agent.chat.template import ChatTemplate
from kronk_agent.chat.turn_reader import TurnReader
from kronk_agent.engine.engine import Constraint, Engine
from kronk_agent.errors import ConstraintError
from kronk_agent.messages import Delta
from kronk_agent.model import ChatRequest, ModelInfo, ToolChoice
from kronk_agent.tool import Tool

logger = logging.getLogger(__name__)


class LocalChatModel:
    """Generates turns with a model in this process.

    Args:
        engine: an open one; it stays the caller's to close.
        id: what users call the model.
        chat_templates: Jinja by name, instead of the model's own.

    Raises:
        ModelError: the model has no chat template, or one that is not valid.
    """

    def __init__(
        self, engine: Engine, id: str, *, chat_templates: Mapping[str, str] | None = None
    ) -> None:
        vocabulary = engine.vocabulary
        self._engine = engine
        self._template = ChatTemplate(
            engine.chat_templates if chat_templates is None else chat_templates,
            bos_text=vocabulary.bos_text,
            eos_text=vocabulary.eos_text,
            special_texts=vocabulary.special_texts,
        )
        tokens = {text: vocabulary.special_token(text) for text in vocabulary.special_texts}
        self._dialect = dialect_for(
            self._template, {text: id for text, id in tokens.items() if id is not None}
        )
        self._info = ModelInfo(id, engine.context_length, frozenset({"chat", "tools"}))
        self._relaxed: set[str] = set()

    @property
    def info(self) -> ModelInfo:
        return self._info

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without any template around it."""
        return len(self._engine.vocabulary.tokenize(text, parse_special=False))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The turn as it is generated; see ``ChatModel.stream``."""
        prompt, tokens = await to_thread.run_sync(self._read, request)
        turn, constraint = await self._begin_turn(prompt, request)
        reader = TurnReader(turn.parser, request.stop, num_prompt_tokens=len(tokens))
        chunks = self._engine.generate(
            tokens,
            sampling=request.sampling,
            max_tokens=request.max_tokens,
            constraint=constraint,
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                for delta in reader.read(chunk):
                    yield delta
                if reader.is_over:
                    return

    def _read(self, request: ChatRequest) -> tuple[str, list[int]]:
        """The prompt, as text and as tokens."""
        messages, tools = self._dialect.arrange(request.messages, request.tools)
        prompt = self._template.render(messages, tools)
        return prompt.text, prompt.tokenize(self._engine.vocabulary)

    async def _begin_turn(
        self, prompt: str, request: ChatRequest
    ) -> tuple[Turn, Constraint | None]:
        def begin(tools: tuple[Tool, ...]) -> Turn:
            return self._dialect.begin_turn(
                prompt, tools, request.tool_choice, parallel=request.parallel_tool_calls
            )

        turn = begin(request.tools)
        if turn.grammar is None:
            return turn, None
        try:
            return turn, await self._engine.compile(turn.grammar)
        except ConstraintError:
            turn = begin(tuple([await self._enforceable(tool) for tool in request.tools]))
            assert turn.grammar is not None
            return turn, await self._engine.compile(turn.grammar)

    async def _enforceable(self, tool: Tool) -> Tool:
        """The tool, or if its schema cannot be enforced and need not be, one with any arguments.

        Raises:
            ConstraintError: it cannot be enforced and must be; names the tool and the reason.
        """
        turn = self._dialect.begin_turn("", [tool], ToolChoice("required"), parallel=False)
        assert turn.grammar is not None
        try:
            await self._engine.compile(turn.grammar)
        except ConstraintError as error:
            reason = str(error).rpartition("JSON schema: ")[2]
            if tool.strict:
                raise ConstraintError(
                    f"tool {tool.name}: its JSON Schema cannot be enforced: {reason}", param="tools"
                ) from error
            if tool.name not in self._relaxed:
                self._relaxed.add(tool.name)
                logger.warning(
                    "tool %s: its arguments are only checked afterwards: %s", tool.name, reason
                )
            return replace(tool, parameters={"type": "object", "additionalProperties": True})
        return tool
