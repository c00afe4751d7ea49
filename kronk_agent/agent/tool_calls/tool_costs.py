"""Counts the prompt tokens of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kronk_agent.agent.options import AgentOptions
from kronk_agent.messages import JsonObject, Message
from kronk_agent.model import ChatModel
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool, ToolContext, ToolOutput

_QUESTION: Final = Message.user("Hello")


@dataclass(frozen=True, slots=True)
class ToolCosts:
    """Tokens that tools add to a prompt."""

    by_tool: Mapping[str, int]
    """Additional prompt tokens of each tool when another tool is present."""
    total: int
    """Prompt tokens of all tools together."""

    @property
    def shared(self) -> int:
        """Prompt tokens for tools in general, independent of their number."""
        return self.total - sum(self.by_tool.values())


async def count_tool_tokens(
    model: ChatModel, tools: Sequence[Tool], options: AgentOptions
) -> ToolCosts:
    """Count tokens by rendering prompts with and without each tool; generates nothing.

    Raises:
        InvalidRequestError: the model does not support these tools.
    """

    async def count(*shown: Tool) -> int:
        """Return the tokens of a prompt with these tools."""
        messages = [Message.system(options.instructions), _QUESTION]
        request = options.request(
            messages if options.instructions else [_QUESTION], shown, ToolChoice(), is_first=True
        )
        return await model.count_prompt_tokens(request)

    alone = await count(_OTHER)
    by_tool = {tool.name: await count(_OTHER, tool) - alone for tool in tools}
    return ToolCosts(by_tool, await count(*tools) - await count() if tools else 0)


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError


_OTHER: Final = Tool(
    name="kronk_agent-other", description="", parameters={"type": "object"}, call=_never_called
)
"""Added before the tool being counted, so that shared text is not attributed to it."""
