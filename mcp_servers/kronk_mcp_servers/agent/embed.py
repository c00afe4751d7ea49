"""``embed``: texts as embedding vectors."""

from __future__ import annotations

import mcp.types as t

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.runtime import Runtime
from kronk_mcp_servers.agent.schemas import INTEGER, STRING, object_schema, text
from kronk_mcp_servers.serving.registry import ServedTool
from kronk_mcp_servers.serving.request_context import RequestContext

_MAX_TEXTS = 256

_OUTPUT_SCHEMA = object_schema(
    {
        "vectors": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "dimensions": INTEGER,
        "num_tokens": INTEGER,
    }
)


def embed_tool(runtime: Runtime, *, max_prompt_characters: int) -> ServedTool:
    """Return the tool ``embed`` of one runtime."""
    input_schema = object_schema(
        {
            "texts": {
                "type": "array",
                "items": {**STRING, "minLength": 1, "maxLength": max_prompt_characters},
                "minItems": 1,
                "maxItems": _MAX_TEXTS,
                "description": "What to embed; each gets a vector.",
            }
        },
        {"model": text("A model made to embed, as list_models names it.")},
    )

    async def embed(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        """Embed the texts."""
        texts, model = arguments["texts"], arguments.get("model")
        assert isinstance(texts, list)
        name = model if isinstance(model, str) else None
        async with runtime.embedder(name) as embedder:
            found = await embedder.embed([str(each) for each in texts])
        vectors: list[JsonValue] = found.vectors.tolist()
        dimensions = found.vectors.shape[1]
        structured: JsonObject = {
            "vectors": vectors,
            "dimensions": dimensions,
            "num_tokens": found.num_tokens,
        }
        summary = f"{len(vectors)} vectors of {dimensions} numbers"
        return t.CallToolResult(
            content=[t.TextContent(text=summary)], structured_content=structured
        )

    return ServedTool(
        definition=t.Tool(
            name="embed",
            title="Embed texts",
            description="Turn texts into vectors: near ones mean similar things.",
            input_schema=input_schema,
            output_schema=_OUTPUT_SCHEMA,
            annotations=t.ToolAnnotations(
                title="Embed texts", read_only_hint=True, open_world_hint=False
            ),
        ),
        call=embed,
        task_after_seconds=5,
    )
