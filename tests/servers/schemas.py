"""What the grammar holds a model's calls to, of the schemas of a server's tools."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kronk_agent.chat.dialects import dialect_for
from kronk_agent.chat.enforcement import Refusal, enforceable
from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.structured_output.constraint import ConstraintCompiler
from kronk_agent.errors import ConstraintError
from kronk_agent.messages import JsonObject, Message
from kronk_agent.model import ChatRequest
from kronk_agent.models.store import starter_model
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool


@dataclass(frozen=True, slots=True)
class Held:
    """How far grammars hold the calls of some tools to their schemas."""

    num_whole: int
    in_part: dict[str, list[str]]
    """By the tool's name, the keywords that no grammar sees to; the check of the call does."""
    not_at_all: dict[str, str]
    """By the tool's name, why any arguments may be written."""
    refused_together: str
    """Why one grammar cannot offer all of the tools; empty if it can."""
    milliseconds: float
    """How long that grammar took to make."""

    @property
    def is_right(self) -> bool:
        return not self.not_at_all and not self.refused_together

    @property
    def counts(self) -> str:
        return f"{self.num_whole}/{len(self.in_part)}/{len(self.not_at_all)}"

    @property
    def problems(self) -> list[str]:
        """What is not held, a line each."""
        lines = [f"{name}: without {'; '.join(lost)}" for name, lost in self.in_part.items()]
        lines += [f"{name}: not held: {why}" for name, why in self.not_at_all.items()]
        if self.refused_together:
            lines.append(f"all tools together: {self.refused_together}")
        return lines


class Grammars:
    """Makes the grammars of calls as a chat does, with the starter model's vocabulary and template,
    and without its weights."""

    def __init__(self) -> None:
        model = starter_model()
        file = ModelFile(model, is_described_only=True)
        vocabulary = file.vocabulary
        template = ChatTemplate(
            file.chat_templates,
            bos_text=vocabulary.bos_text,
            eos_text=vocabulary.eos_text,
            special_texts=vocabulary.special_texts,
        )
        ids = {text: vocabulary.special_token(text) for text in vocabulary.special_texts}
        self._dialect = dialect_for(template, {t: id for t, id in ids.items() if id is not None})
        self._compiler = ConstraintCompiler(vocabulary, model)
        self._file = file

    async def held(self, tools: Sequence[Tool]) -> Held:
        in_part: dict[str, list[str]] = {}
        not_at_all: dict[str, str] = {}
        possible: list[Tool] = []
        for tool in tools:
            found = await enforceable(tool.parameters, self._refusal_for(tool))
            possible.append(replace(tool, parameters=found.schema))
            whole = [problem for problem in found.left_out if str(problem).startswith("schema: ")]
            if whole:
                not_at_all[tool.name] = str(whole[0])
                continue
            # Of a strict tool, a keyword is refused that is passed over in silence elsewhere.
            strict = replace(tool, strict=True)
            lost = (await enforceable(tool.parameters, self._refusal_for(strict))).left_out
            if problems := [*tool.schema_problems, *lost]:
                in_part[tool.name] = [str(problem) for problem in problems]
        start = time.perf_counter()
        refused = self._refusal(possible) if possible else ""
        milliseconds = 1000 * (time.perf_counter() - start)
        num_whole = len(tools) - len(in_part) - len(not_at_all)
        return Held(num_whole, in_part, not_at_all, refused, milliseconds)

    def _refusal_for(self, tool: Tool) -> Refusal:
        async def refusal(schema: JsonObject) -> str:
            return self._refusal([replace(tool, parameters=schema)])

        return refusal

    def _refusal(self, tools: Sequence[Tool]) -> str:
        """Why no grammar can be made of a call of one of these; empty if one can."""
        request = ChatRequest(
            messages=(Message.user("x"),),
            tools=tuple(tools),
            tool_choice=ToolChoice("required"),
        )
        grammar = self._dialect.start_turn("", request).grammar
        assert grammar is not None
        try:
            self._compiler.compile(grammar.lark, grammar.parts, is_ours=grammar.is_ours)
        except ConstraintError as error:
            return str(error).rpartition("JSON schema: ")[2]
        return ""
