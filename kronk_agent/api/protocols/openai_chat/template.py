"""``/v1/apply-template``: renders the prompt of a chat completion; also llama.cpp's own."""

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
from kronk_agent.model import RenderedPrompt
from kronk_agent.settings import ReasoningEffort


class TemplateFields(UnicodeBody):
    """The fields of a chat completion that its prompt depends on."""

    messages: list[WireMessage]
    tools: list[WireTool] | None = None
    reasoning_effort: ReasoningEffort | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: dict[str, JsonValue] | None = None
    """More variables for the chat template."""
    continue_final_message: bool | None = None
    """Continue the last message, which is the assistant's."""

    def options(self, base: AgentOptions) -> AgentOptions:
        """The agent's options, with the request's fields applied."""
        changes: dict[str, Any] = {
            "reasoning_effort": self.reasoning_effort,
            "enable_thinking": self.enable_thinking,
            "chat_template_kwargs": self.chat_template_kwargs,
            "continue_final_message": self.continue_final_message,
        }
        return replace(base, **{key: value for key, value in changes.items() if value is not None})


class ApplyTemplateRequest(TemplateFields):
    """A request for ``/v1/apply-template``."""

    model: str = ""
    """The id of a plain local model; the default model when left out."""


class LlamaApplyTemplateRequest(TemplateFields):
    """A request for llama.cpp's ``/apply-template``."""

    model: str | None = None
    """The default model when left out."""


def router(models: ModelRouter) -> APIRouter:
    """The routes that render prompts."""
    routes = APIRouter(tags=["tokens"])

    @routes.post("/v1/apply-template")
    async def apply_template(body: ApplyTemplateRequest) -> dict[str, Any]:
        """Return the prompt of a chat completion and its number of tokens."""
        body = models.with_resolved_id(body)
        prompt = await _render(models, body.model, body)
        return {"model": body.model, "prompt": prompt.text, "count": prompt.num_tokens}

    @routes.post("/apply-template", tags=["llama.cpp"])
    async def llama_apply_template(body: LlamaApplyTemplateRequest) -> dict[str, str]:
        """Render a prompt, in the format of llama.cpp's server."""
        prompt = await _render(models, models.resolve_id(body.model), body)
        return {"prompt": prompt.text}

    return routes


async def _render(models: ModelRouter, model: str, body: TemplateFields) -> RenderedPrompt:
    if model.startswith(AGENT_PREFIX):
        # An agent's prompt contains instructions that are not for the client.
        raise InvalidRequestError(
            f"model: {model!r} is an agent; this endpoint takes a plain model", param="model"
        )
    messages = to_messages(body.messages)
    await models.check_media(model, messages)
    agent = await models.agent(model)
    agent = replace(agent, options=body.options(agent.options))
    # Not restored from pending turns: results of server tools are not for the client.
    return await agent.render_prompt(messages, client_tools=to_tools(body.tools or ()))
