"""LiteLLM: a call, and what comes back is played back; over chat completions or Ollama's API."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import json
import sys

import litellm

ECHO = {
    "type": "function",
    "function": {
        "name": "echo",
        "description": "Say what it is told.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
    },
}
is_ollama = sys.argv[2:] == ["ollama"]
asked = {
    "model": "ollama_chat/scripted" if is_ollama else "openai/scripted",
    "api_base": sys.argv[1] if is_ollama else f"{sys.argv[1]}/v1",
    "api_key": "none",
    "tools": [ECHO],
}
messages = [{"role": "user", "content": "Echo something."}]
said = litellm.completion(messages=messages, **asked).choices[0].message
(call,) = said.tool_calls
text = json.loads(call.function.arguments)["text"]
messages += [
    said.model_dump(),
    {"role": "tool", "tool_call_id": call.id, "name": "echo", "content": text},
]
print(litellm.completion(messages=messages, **asked).choices[0].message.content)
