"""The prompt of a chat completion: ``/v1/apply-template``, and llama.cpp's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from pydantic import JsonValue

from kronk_agent.agent import AgentOptions
from kronk_agent.api.model_router import AGENT_PREFIX, ModelRouter
from kronk_agent.api.protocols.common.schema import UnicodeBody
from kronk_agent.api.protocols.openai_chat.messages import WireMessage, to_messages
from kronk_agent.api.protocols.openai_chat.tools import WireTool, to_tools
from kronk_agent.errors import InvalidRequestError
from kronk_agent.model import ReasoningEffort, RenderedPrompt


class TemplateFields(UnicodeBody):
    """Those of a chat completion's fields that its prompt depends on, with the same meanings."""

    messages: list[WireMessage]
    tools: list[WireTool] | None = None
    reasoning_effort: ReasoningEffort | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: dict[str, JsonValue] | None = None
    """More variables for the chat template."""
    continue_final_message: bool | None = None
    """The last message is the assistant's, and not over."""

    def options(self, base: AgentOptions) -> AgentOptions:
        changes: dict[str, Any] = {
            "reasoning_effort": self.reasoning_effort,
            "enable_thinking": self.enable_thinking,
            "chat_template_kwargs": self.chat_template_kwargs,
            "continue_final_message": self.continue_final_message,
        }
        return replace(base, **{key: value for key, value in changes.items() if value is not None})


class ApplyTemplateRequest(TemplateFields):
    model: str = ""
    """The id of a plain model on a file; the default model when left out."""


class LlamaApplyTemplateRequest(TemplateFields):
    model: str | None = None
    """The default model when left out."""


def router(models: ModelRouter) -> APIRouter:
    routes = APIRouter(tags=["tokens"])

    @routes.post("/v1/apply-template")
    async def apply_template(body: ApplyTemplateRequest) -> dict[str, Any]:
        """The prompt that a chat completion's model reads, and how many tokens it has."""
        body = models.as_named(body)
        prompt = await _render(models, body.model, body)
        return {"model": body.model, "prompt": prompt.text, "count": prompt.num_tokens}

    @routes.post("/apply-template", tags=["llama.cpp"])
    async def llama_apply_template(body: LlamaApplyTemplateRequest) -> dict[str, str]:
        """As llama.cpp's server has it."""
        prompt = await _render(models, models.named(body.model), body)
        return {"prompt": prompt.text}

    return routes


async def _render(models: ModelRouter, model: str, body: TemplateFields) -> RenderedPrompt:
    if model.startswith(AGENT_PREFIX):
        # Its prompt has instructions that are for the model to read.
        raise InvalidRequestError(
            f"{model!r} is an agent, and this takes a plain model", param="model"
        )
    messages = to_messages(body.messages)
    await models.need_for(model, messages)
    agent = await models.agent(model)
    agent = replace(agent, options=body.options(agent.options))
    # As the client has them: what tools of ours gave in a turn it has a part in is not its to see.
    return await agent.render_prompt(messages, client_tools=to_tools(body.tools or ()))
