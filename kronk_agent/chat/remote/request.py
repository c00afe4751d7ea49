"""Requests to OpenAI-compatible servers."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Final

from kronk_agent.chat.remote.options import form_values, thinking_left_out, thinking_values
from kronk_agent.chat.remote.server_profiles import Kind
from kronk_agent.chat.remote.upstream import Upstream
from kronk_agent.chat.shown_tools import shown_tools
from kronk_agent.chat.templates.conversation import tool_text
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import (
    AudioPart,
    ImagePart,
    JsonObject,
    JsonValue,
    Message,
    Part,
    TextPart,
    ToolCall,
)
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ModelSettings, SamplingParams, ToolChoice
from kronk_agent.tools import Tool
from kronk_agent.tools.arguments import parse_json
from kronk_agent.tools.schema.walking import schemas_in

_BYTES_PER_TOKEN: Final = 3
"""Lower than in most languages and vocabularies, so that estimates err on the high side."""

_SUBSET: Final = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "anyOf", "enum"),
        *("const", "$defs", "$ref", "title", "description", "pattern", "format", "minimum"),
        *("maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems"),
    )
)
"""The JSON Schema keywords that OpenAI's strict mode supports (guide to structured outputs)."""

_AUDIO_FORMATS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}


_TAKEN: Final = frozenset(
    (
        *("sampling", "tool_choice", "parallel_tool_calls", "max_parallel_calls", "tool_call_bias"),
        *("response_format", "enable_thinking", "reasoning_effort", "reasoning_budget"),
        *("separate_reasoning", "max_tokens", "stop", "logprobs", "top_logprobs"),
        *("chat_template_kwargs", "continue_final_message", "max_tool_description_tokens"),
        *("cache_salt", "share_prefix", "streamed"),
    )
)
"""Settings that are sent or refused by name, or that are only hints."""


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text, rather high: only the upstream can count them."""
    return math.ceil(len(text.encode(errors="replace")) / _BYTES_PER_TOKEN)


def request_body(request: ChatRequest, upstream: Upstream) -> JsonObject:
    """The JSON body of the request for a turn.

    Only callable tools are sent, since not every server respects ``tool_choice``.

    Raises:
        InvalidRequestError: a setting that this type of upstream does not support; ``param`` names
            it.
    """
    kind = upstream.kind
    body: JsonObject = {
        "model": upstream.model,
        "messages": [message_value(message, kind) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        **sampling_values(request.sampling, upstream),
    }
    if request.max_tokens is not None:
        body[kind.max_tokens] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    if request.logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    tools = _sent_tools(request, kind)
    if tools:
        shown = shown_tools(tools, request.max_tool_description_tokens, estimate_tokens)
        body["tools"] = [tool_value(tool, kind) for tool in shown]
        body["tool_choice"] = _choice_value(request.tool_choice, kind)
        body["parallel_tool_calls"] = request.max_calls != 1
    if upstream.type == "vllm" and request.cache_salt:
        body["cache_salt"] = request.cache_salt
    return body | form_values(request, upstream) | thinking_values(request, upstream)


def message_value(message: Message, kind: Kind) -> JsonObject:
    """A message in the API's format."""
    if message.role == "tool":
        return {
            "role": "tool",
            "tool_call_id": message.tool_call_id or "",
            "content": tool_text(message),
        }
    value: JsonObject = {"role": message.role, "content": _content(message)}
    if message.reasoning and kind.has_template:
        value["reasoning_content"] = message.reasoning
    if message.tool_calls:
        value["content"] = message.text or None
        value["tool_calls"] = [_call_value(call) for call in message.tool_calls]
    return value


def tool_value(tool: Tool, kind: Kind) -> JsonObject:
    """A tool in the API's format."""
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    may_be_strict = kind.strict == "every" or (
        kind.strict == "subset" and _is_in_subset(tool.parameters)
    )
    if tool.strict and may_be_strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def sampling_values(sampling: SamplingParams, upstream: Upstream) -> JsonObject:
    """The sampling parameters under the upstream's names; those without one are left out."""
    values: JsonObject = {}
    for parameter in fields(SamplingParams):
        name, value = parameter.name, getattr(sampling, parameter.name)
        theirs = upstream.kind.sampling.get(name)
        if theirs is not None and value is not None and value != {}:
            values[theirs] = _sampling_value(name, value, upstream)
    return values


def left_out(request: ChatRequest, upstream: Upstream) -> tuple[str, ...]:
    """A notice for each setting that is left out because the upstream does not support it."""
    kind, default = upstream.kind, SamplingParams()
    names = [
        parameter.name
        for parameter in fields(SamplingParams)
        if parameter.name not in kind.sampling
        and getattr(request.sampling, parameter.name) != getattr(default, parameter.name)
    ]
    names += thinking_left_out(request, upstream)
    plain = ModelSettings()
    names += [
        setting.name
        for setting in fields(ModelSettings)
        if setting.name not in _TAKEN
        and getattr(request, setting.name) != getattr(plain, setting.name)
    ]
    return tuple(f"{name}: not supported by {upstream.type} upstreams, left out" for name in names)


def _sampling_value(name: str, value: object, upstream: Upstream) -> JsonValue:
    match value:
        case 0 if name == "top_k" and upstream.type in ("vllm", "sglang"):
            return -1  # their value for all tokens
        case -1 if name in ("repeat_last_n", "dry_penalty_last_n"):
            return upstream.context_length  # llama-server has no value for the whole context
        case Mapping():
            return {str(token): bias for token, bias in value.items()}
        case tuple():
            return list(value)
        case bool() | int() | float() | str():
            return value
        case _:
            raise AssertionError(name)


def _sent_tools(request: ChatRequest, kind: Kind) -> Sequence[Tool]:
    match request.tool_choice.mode:
        case "none":
            return ()
        case "named" if kind.names_tool:
            return request.tools
        case _:
            return request.callable_tools


def _choice_value(choice: ToolChoice, kind: Kind) -> JsonValue:
    if choice.mode != "named":
        return choice.mode
    if not kind.names_tool:
        return "required"
    return {"type": "function", "function": {"name": choice.name}}


def _content(message: Message) -> JsonValue:
    if all(isinstance(part, TextPart) for part in message.content):
        return message.text
    return [_part_value(part) for part in message.content]


def _part_value(part: Part) -> JsonObject:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(data, media_type):
            url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
            return {"type": "image_url", "image_url": {"url": url}}
        case AudioPart(data, media_type):
            format = _AUDIO_FORMATS.get(media_type)
            if format is None:
                raise InvalidRequestError(
                    f"messages: {media_type} is not supported; use audio/wav or audio/mpeg",
                    param="messages",
                )
            sound: JsonObject = {"data": base64.b64encode(data).decode(), "format": format}
            return {"type": "input_audio", "input_audio": sound}


def _call_value(call: ToolCall) -> JsonObject:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": _sound_arguments(call.arguments)},
    }


def _sound_arguments(arguments: str) -> str:
    """The arguments; text that is not a JSON object, which servers refuse, is wrapped in one.

    The tool result that follows explains the mistake.
    """
    try:
        if isinstance(parse_json(arguments or "{}"), dict):
            return arguments or "{}"
    except ValueError:
        pass
    return json.dumps({"invalid_arguments": arguments})


def _is_in_subset(schema: JsonObject) -> bool:
    """True if OpenAI takes the schema as strict: objects are closed and require all properties."""
    if schema.keys() - _SUBSET:
        return False
    if schema.get("type") == "object":
        properties, required = schema.get("properties", {}), schema.get("required", [])
        is_closed = schema.get("additionalProperties") is False
        if not (is_closed and isinstance(properties, dict) and isinstance(required, list)):
            return False
        if set(properties) != set(required):
            return False
    return all(map(_is_in_subset, schemas_in(schema)))
