"""The chat model in this process: chat template, dialect and engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from anyio import to_thread

from kronk_agent.chat.constraint_cache import ConstraintCache
from kronk_agent.chat.decision import CallDecision, decide_call
from kronk_agent.chat.dialects import DialectTurn, TurnGrammar, dialect_for
from kronk_agent.chat.enforcement import EnforceableSchemas
from kronk_agent.chat.logprobs import LogprobAligner
from kronk_agent.chat.own_prefix import OwnPrefix
from kronk_agent.chat.shown_tools import shown_tools
from kronk_agent.chat.templates.chat_template import ChatTemplate, TemplateOptions
from kronk_agent.chat.turn_reader import TurnReader
from kronk_agent.engine.engine import CacheOptions, Chunk, Constraint, Engine
from kronk_agent.errors import ConstraintError, InvalidRequestError
from kronk_agent.messages import Delta, JsonObject, Message
from kronk_agent.model import ChatRequest, ModelInfo, RenderedPrompt
from kronk_agent.settings import ResponseFormat, ToolChoice
from kronk_agent.tools import Tool

_ANY = (Message.user("x"),)
_ANY_FORM = ResponseFormat()


@dataclass(frozen=True, slots=True)
class _TokenizedPrompt:
    text: str
    tokens: list[int]
    generation_prompt: str
    """The end of the text, which starts the assistant's turn."""
    cache: CacheOptions = field(default_factory=CacheOptions)


class LocalChatModel:
    """A chat model in this process.

    Args:
        engine: an open engine; the caller closes it.
        id: the model's name.
        chat_templates: Jinja templates by name, which replace the model's own.

    Raises:
        ModelError: the model has no chat template, or an invalid one.
    """

    def __init__(
        self, engine: Engine, id: str, *, chat_templates: Mapping[str, str] | None = None
    ) -> None:
        self._engine = engine
        self._template = template_of(engine, chat_templates)
        vocabulary = engine.vocabulary
        tokens = {text: vocabulary.special_token(text) for text in vocabulary.special_texts}
        self._dialect = dialect_for(
            self._template, {text: id for text, id in tokens.items() if id is not None}
        )
        self._info = ModelInfo(id, engine.context_length, frozenset({"chat", "tools"}))
        self._schemas = EnforceableSchemas()
        self._constraints = ConstraintCache()
        self._own_prefix = OwnPrefix(lambda request: self._render(request).tokens)

    @property
    def info(self) -> ModelInfo:
        """The model's properties."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text; see ``ChatModel.count_tokens``."""
        return len(self._engine.vocabulary.tokenize(text, parse_special=False))

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """Count the tokens of the prompt; see ``ChatModel.count_prompt_tokens``."""
        return (await self.render_prompt(request)).num_tokens

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """Render the prompt; see ``ChatModel.render_prompt``."""
        prompt = await to_thread.run_sync(self._read, request)
        prompt, _ = self._begun(prompt, request)
        return RenderedPrompt(prompt.text, len(prompt.tokens))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Generate a turn; see ``ChatModel.stream``."""
        prompt = await to_thread.run_sync(self._read, request)
        request, decision = await self._decided(prompt, request)
        prompt, turn = self._begun(prompt, request)
        reader = TurnReader(
            turn.parser,
            request.stop,
            num_prompt_tokens=len(prompt.tokens),
            decision=decision,
            aligner=LogprobAligner(self._engine.vocabulary.piece) if request.logprobs else None,
        )
        if not request.separate_reasoning and not request.continue_final_message:
            for delta in turn.begun:
                yield delta
        tokens: list[int] = []
        text = ""
        async with aclosing(self._generate(prompt, turn, request, reader.num_tokens)) as chunks:
            async for chunk in chunks:
                tokens += chunk.tokens
                text += chunk.text
                for delta in reader.read(chunk):
                    yield delta
                if reader.is_over:
                    return
                if turn.parser.is_thinking and _is_spent(request, reader):
                    break
        longer = self._with(prompt, tokens, text, turn.thought_end)
        num_inserted = len(longer.tokens) - len(prompt.tokens) - len(tokens)
        if not self._has_room_after(longer, request, reader.num_tokens + num_inserted):
            for delta in reader.cut():
                yield delta
            return
        for delta in reader.insert(turn.thought_end, num_inserted):
            yield delta
        prompt = longer
        rest = self._dialect.start_turn(prompt.generation_prompt, request)
        async with aclosing(self._generate(prompt, rest, request, reader.num_tokens)) as chunks:
            async for chunk in chunks:
                for delta in reader.read(chunk):
                    yield delta
                if reader.is_over:
                    return

    def _has_room_after(
        self, prompt: _TokenizedPrompt, request: ChatRequest, num_generated: int
    ) -> bool:
        """True if at least one more token may follow."""
        is_under_limit = request.max_tokens is None or num_generated < request.max_tokens
        return is_under_limit and len(prompt.tokens) < self._engine.context_length

    async def _decided(
        self, prompt: _TokenizedPrompt, request: ChatRequest
    ) -> tuple[ChatRequest, CallDecision | None]:
        """Apply ``tool_call_bias``; returns the request and the decision, or None without one.

        Raises:
            InvalidRequestError: the model thinks before it calls.
        """
        bias, choice = request.tool_call_bias, request.tool_choice
        if bias is None or choice.mode != "auto" or not request.callable_tools:
            return request, None
        must = replace(request, tool_choice=replace(choice, mode="required"))
        turn = self._dialect.start_turn(prompt.generation_prompt, must)
        if turn.thought_end:
            raise InvalidRequestError(
                "tool_call_bias does not work with models that think before calling; leave it out",
                param="tool_call_bias",
            )
        calls = await self._constraint(prompt, turn, must)
        assert calls is not None
        decision = await decide_call(self._engine, prompt.tokens, calls, bias, **prompt.cache)
        if decision.is_call:
            return must, decision
        return replace(request, tool_choice=ToolChoice("none")), decision

    def _read(self, request: ChatRequest) -> _TokenizedPrompt:
        prompt = self._render(request)
        cache = CacheOptions(cache_salt=request.cache_salt)
        if request.share_prefix and (request.cache_salt or self._engine.saves_prefixes):
            cache["shared_prefix"] = self._own_prefix.length(request, prompt.tokens)
        return replace(prompt, cache=cache)

    def _render(self, request: ChatRequest) -> _TokenizedPrompt:
        limit = request.max_tool_description_tokens
        shown = shown_tools(request.tools, limit, self.count_tokens)
        messages, tools = self._dialect.prepare_messages(request.messages, shown)
        effort = request.reasoning_effort
        prompt = self._template.render(
            messages,
            tools,
            options=TemplateOptions(
                enable_thinking=request.is_thinking_enabled,
                reasoning_effort=None if effort == "none" else effort,
                kwargs=request.chat_template_kwargs,
            ),
            continuation=self._dialect.continue_message if request.continue_final_message else None,
        )
        return _TokenizedPrompt(
            prompt.text, prompt.tokenize(self._engine.vocabulary), prompt.generation_prompt
        )

    def _begun(
        self, prompt: _TokenizedPrompt, request: ChatRequest
    ) -> tuple[_TokenizedPrompt, DialectTurn]:
        """Start the turn; returns the prompt, its thinking ended if it is off, and the turn."""
        turn = self._dialect.start_turn(prompt.generation_prompt, request)
        if request.is_thinking_enabled is False and turn.parser.is_thinking:
            # The template starts the thinking in any case.
            prompt = self._with(prompt, [], "", turn.thought_end)
            turn = self._dialect.start_turn(prompt.generation_prompt, request)
        return prompt, turn

    def _with(
        self, prompt: _TokenizedPrompt, tokens: Sequence[int], text: str, end: str
    ) -> _TokenizedPrompt:
        """The prompt with the generated tokens and the end of the thinking appended."""
        ending = self._engine.vocabulary.tokenize(end, parse_special=True)
        return _TokenizedPrompt(
            prompt.text + text + end,
            [*prompt.tokens, *tokens, *ending],
            prompt.generation_prompt + text + end,
            prompt.cache,
        )

    async def _generate(
        self, prompt: _TokenizedPrompt, turn: DialectTurn, request: ChatRequest, num_generated: int
    ) -> AsyncGenerator[Chunk, None]:
        left = None if request.max_tokens is None else request.max_tokens - num_generated
        chunks = self._engine.generate(
            prompt.tokens,
            sampling=request.sampling,
            max_tokens=left,
            top_logprobs=request.top_logprobs if request.logprobs else None,
            constraint=await self._constraint(prompt, turn, request),
            streamed=request.streamed,
            **prompt.cache,
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    # --- grammars ------------------------------------------------------------------------------

    async def _constraint(
        self, prompt: _TokenizedPrompt, turn: DialectTurn, request: ChatRequest
    ) -> Constraint | None:
        known = self._constraints.find(prompt.generation_prompt, request)
        if known is not None:
            return known
        enforced = request
        grammar = await to_thread.run_sync(turn.write_grammar)
        if grammar is None:
            return None
        try:
            constraint = await self._compile(grammar)
        except ConstraintError:
            tools = tuple([await self._enforceable(tool) for tool in request.tools])
            form = await self._enforceable_form(request.response_format)
            enforced = replace(request, tools=tools, response_format=form)
            turn = self._dialect.start_turn(prompt.generation_prompt, enforced)
            grammar = await to_thread.run_sync(turn.write_grammar)
            assert grammar is not None
            constraint = await self._compile(grammar)
        if grammar.unenforced or constraint.unenforced:
            await self._log_unenforced(enforced)
        self._constraints.add(prompt.generation_prompt, request, constraint)
        return constraint

    async def _log_unenforced(self, request: ChatRequest) -> None:
        """Log what the grammar does not enforce, once for each schema."""
        for tool in request.tools:
            find = partial(self._unenforced, tools=(tool,))
            await self._schemas.log_unenforced(f"tool {tool.name}", tool.parameters, find)
        form = request.response_format
        if form.schema is not None:
            find = partial(self._unenforced, form=form)
            await self._schemas.log_unenforced("response_format", form.schema, find)

    async def _compile(self, grammar: TurnGrammar) -> Constraint:
        return await self._engine.compile(grammar.lark, grammar.parts, is_ours=grammar.is_ours)

    async def _enforceable(self, tool: Tool) -> Tool:
        """The tool with the enforceable part of its schema.

        Raises:
            ConstraintError: a strict tool has a keyword that cannot be enforced; the message names
                tool, keyword and reason.
        """

        async def refusal(schema: JsonObject) -> str:
            return await self._refusal(tools=(replace(tool, parameters=schema),))

        kind = f"tool {tool.name}" + (", strict" if tool.strict else "")
        found = await self._schemas.find(kind, tool.parameters, refusal)
        if found.left_out and tool.strict:
            raise ConstraintError(
                f"tool {tool.name}: its JSON Schema cannot be enforced: {found.left_out[0]}",
                param="tools",
            )
        return replace(tool, parameters=found.schema)

    async def _enforceable_form(self, form: ResponseFormat) -> ResponseFormat:
        """The response format with the enforceable part of its schema.

        Raises:
            ConstraintError: the format is strict, and a part of it cannot be enforced.
        """
        if form.schema is None:
            problem: object = await self._refusal(form=form)
        else:

            async def refusal(schema: JsonObject) -> str:
                return await self._refusal(form=replace(form, schema=schema))

            kind = "response_format" + (", strict" if form.strict else "")
            found = await self._schemas.find(kind, form.schema, refusal)
            if not (found.left_out and form.strict):
                return replace(form, schema=found.schema)
            problem = found.left_out[0]
        if problem:
            raise ConstraintError(
                f"response_format cannot be enforced: {problem}", param="response_format"
            )
        return form

    async def _refusal(
        self, *, tools: tuple[Tool, ...] = (), form: ResponseFormat = _ANY_FORM
    ) -> str:
        """The reason why no grammar can be made of these; empty if one can."""
        grammar = await self._grammar_of(tools, form)
        if grammar is None:
            return ""
        try:
            await self._compile(grammar)
        except ConstraintError as error:
            return str(error).rpartition("JSON schema: ")[2]
        return ""

    async def _unenforced(
        self, *, tools: tuple[Tool, ...] = (), form: ResponseFormat = _ANY_FORM
    ) -> frozenset[str]:
        """The keywords that a grammar of these does not enforce."""
        grammar = await self._grammar_of(tools, form)
        if grammar is None:
            return frozenset()
        return grammar.unenforced | (await self._compile(grammar)).unenforced

    async def _grammar_of(
        self, tools: tuple[Tool, ...], form: ResponseFormat
    ) -> TurnGrammar | None:
        """Write a grammar for these alone; None if they leave the turn free."""
        choice = ToolChoice("required" if tools else "auto")
        request = ChatRequest(messages=_ANY, tools=tools, tool_choice=choice, response_format=form)
        return await to_thread.run_sync(self._dialect.start_turn("", request).write_grammar)


def template_of(engine: Engine, chat_templates: Mapping[str, str] | None = None) -> ChatTemplate:
    """The chat template of a model, or its replacement.

    Raises:
        ModelError: the model has no chat template, or an invalid one.
    """
    vocabulary = engine.vocabulary
    return ChatTemplate(
        engine.chat_templates if chat_templates is None else chat_templates,
        bos_text=vocabulary.bos_text,
        eos_text=vocabulary.eos_text,
        special_texts=vocabulary.special_texts,
    )


def _is_spent(request: ChatRequest, reader: TurnReader) -> bool:
    budget = request.reasoning_budget
    return budget is not None and reader.num_reasoning_tokens >= budget
