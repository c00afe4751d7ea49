"""Remembers the compiled grammars of turns by what they depend on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from kronk_agent.engine.engine import Constraint
from kronk_agent.messages import JsonObject
from kronk_agent.model import ChatRequest

_MAX_ENTRIES = 64
_MAX_GENERATION_PROMPT = 200
"""Characters; only a continued message has more, and hardly comes again."""


class ConstraintCache:
    """The constraints of one model's turns, least recently used dropped first.

    Writing the grammar of 57 tools takes 10 to 60 ms; turns of a conversation have the same tools.
    Schemas are compared by identity, which is enough: ``read_schema`` returns the same object for
    the same text.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, tuple[Constraint, list[JsonObject]]] = OrderedDict()
        """With the schemas, whose identities are theirs for as long as they are kept."""

    def find(self, generation_prompt: str, request: ChatRequest) -> Constraint | None:
        """The constraint that was added for such a turn; None if there is none.

        Args:
            generation_prompt: the end of the prompt, which begins the turn.
            request: the request for the turn.
        """
        key = _key(generation_prompt, request)
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def add(self, generation_prompt: str, request: ChatRequest, constraint: Constraint) -> None:
        """Remember the constraint of a turn; the arguments are those of ``find``."""
        if len(generation_prompt) > _MAX_GENERATION_PROMPT:
            return
        schemas = [tool.parameters for tool in request.tools]
        if request.response_format.schema is not None:
            schemas.append(request.response_format.schema)
        self._entries[_key(generation_prompt, request)] = (constraint, schemas)
        if len(self._entries) > _MAX_ENTRIES:
            self._entries.popitem(last=False)


def _key(generation_prompt: str, request: ChatRequest) -> Hashable:
    """Everything of a turn that its grammar depends on."""
    form = request.response_format
    return (
        generation_prompt,
        tuple((tool.name, id(tool.parameters), tool.strict) for tool in request.tools),
        request.tool_choice,
        request.max_calls,
        request.is_thinking_enabled,
        request.separate_reasoning,
        (form.type, form.pattern, id(form.schema), form.strict),
    )
