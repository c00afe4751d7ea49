"""Response format and thinking, in the fields of each type of upstream."""

from __future__ import annotations

from kronk_agent.chat.remote.upstream import Upstream
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat
from kronk_agent.tools.arguments import ArgumentsCheck, parse_json


def form_values(request: ChatRequest, upstream: Upstream) -> JsonObject:
    """The fields for the response format; none where tool calls are required.

    Raises:
        InvalidRequestError: this type of upstream does not support the format.
    """
    format = request.response_format
    if format.type == "text" or request.tool_choice.mode in ("required", "named"):
        return {}
    if request.callable_tools and not upstream.kind.holds_both:
        raise InvalidRequestError(
            f"response_format: {upstream.type} upstreams do not support it beside tools; set "
            "tool_choice to none or leave the tools out",
            param="response_format",
        )
    match format.type, upstream.type:
        case "json_object", _:
            return {"response_format": {"type": "json_object"}}
        case "json_schema", _:
            schema: JsonObject = {"name": "answer", "schema": format.schema}
            if format.strict:
                schema["strict"] = True
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case "regex", "vllm":
            return {"structured_outputs": {"regex": format.pattern}}
        case (("gbnf" | "lark"), "vllm"):
            return {"structured_outputs": {"grammar": format.pattern}}
        case "regex", "sglang":
            return {"regex": format.pattern}
        case "gbnf", "sglang":
            return {"ebnf": format.pattern}
        case "gbnf", "llama-server":
            return {"grammar": format.pattern}
        case _:
            raise InvalidRequestError(
                f"response_format: {upstream.type} upstreams do not support {format.type}",
                param="response_format",
            )


def problem_of_form(text: str, format: ResponseFormat) -> str | None:
    """How an answer violates its format; None if it does not, or cannot be checked."""
    if format.type not in ("json_object", "json_schema"):
        return None
    try:
        value = parse_json(text)
    except ValueError as error:
        return f"it is not JSON: {error}"
    if format.type == "json_object":
        return None if isinstance(value, dict) else "it is no JSON object"
    if format.schema is None or not format.strict:
        return None
    problem = ArgumentsCheck(format.schema).problem(value)
    return None if problem is None else problem.removeprefix(" arguments: ")


def thinking_values(request: ChatRequest, upstream: Upstream) -> JsonObject:
    """The fields for thinking and for the upstream's chat template.

    Raises:
        InvalidRequestError: this type of upstream has no such field; ``param`` names ours.
    """
    if request.tool_call_bias is not None:
        raise _refused("tool_call_bias", upstream, "it needs a model in this process")
    values: JsonObject = {}
    variables = dict(request.chat_template_kwargs)
    if request.reasoning_effort is not None:
        values["reasoning_effort"] = request.reasoning_effort
    if request.is_thinking_enabled is not None and upstream.kind.has_template:
        variables["enable_thinking"] = request.is_thinking_enabled
    if request.reasoning_budget and upstream.type == "llama-server":
        values["reasoning_budget_tokens"] = request.reasoning_budget
    if not request.separate_reasoning:
        values |= _reasoning_in_text(upstream)
    if variables:
        if not upstream.kind.has_template:
            raise _refused("chat_template_kwargs", upstream, "leave it out")
        values["chat_template_kwargs"] = variables
    if request.continue_final_message:
        if upstream.kind.has_template:
            values |= {"continue_final_message": True, "add_generation_prompt": False}
        elif upstream.type != "compatible":
            raise _refused("continue_final_message", upstream, "leave it out")
    return values


def thinking_left_out(request: ChatRequest, upstream: Upstream) -> list[str]:
    """The names of settings that are left out, because the upstream has no field for them."""
    names: list[str] = []
    if request.reasoning_budget and upstream.type != "llama-server":
        names.append("reasoning_budget")
    if upstream.kind.has_template:
        return names
    if request.is_thinking_enabled is not None and request.reasoning_effort != "none":
        names.append("enable_thinking")
    if request.continue_final_message:
        names.append("continue_final_message")
    return names


def _reasoning_in_text(upstream: Upstream) -> JsonObject:
    match upstream.type:
        case "sglang":
            return {"separate_reasoning": False}
        case "llama-server":
            return {"reasoning_format": "none"}
        case _:
            raise _refused("separate_reasoning", upstream, "leave it as it is")


def _refused(name: str, upstream: Upstream, remedy: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{name} is not supported by {upstream.type} upstreams: {remedy}", param=name
    )
