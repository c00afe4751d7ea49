"""The configured models: the tool ``list_models`` and the resource ``kronk://models``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import mcp.types as t

from kronk_agent.errors import ModelError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.runtime import ModelEntry, Runtime
from kronk_mcp_servers.agent.schemas import STRING, object_schema
from kronk_mcp_servers.serving.registry import Completed, Contents, ServedTool
from kronk_mcp_servers.serving.request_context import RequestContext

URI = "kronk://models"

_OUTPUT_SCHEMA = object_schema(
    {
        "models": {
            "type": "array",
            "items": object_schema(
                {
                    "name": STRING,
                    "place": {"enum": ["local", "remote", "given"]},
                    "is_default": {"type": "boolean"},
                    "is_loaded": {"type": "boolean"},
                    "capabilities": {"type": "array", "items": STRING},
                    "error": {"type": ["string", "null"]},
                }
            ),
        }
    }
)


class ModelCatalog:
    """The configured models; files are inspected, but no model is loaded."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.tool = ServedTool(
            definition=t.Tool(
                name="list_models",
                title="List the models",
                description="The models that are configured, and what each of them can do.",
                input_schema=object_schema({}),
                output_schema=_OUTPUT_SCHEMA,
                annotations=t.ToolAnnotations(
                    title="List the models", read_only_hint=True, open_world_hint=False
                ),
            ),
            call=self._call,
        )

    async def resources(self) -> Sequence[t.Resource]:
        """Return the resource ``kronk://models``."""
        return [
            t.Resource(
                uri=URI,
                name="models",
                title="The models",
                description="The configured models.",
                mime_type="application/json",
            )
        ]

    async def templates(self) -> Sequence[t.ResourceTemplate]:
        """Return no templates."""
        return ()

    async def read(self, uri: str, call: RequestContext) -> Sequence[Contents] | None:
        """Read the resource ``kronk://models``."""
        if uri != URI:
            return None
        text = json.dumps(await self._value(), ensure_ascii=False, indent=2)
        return [t.TextResourceContents(uri=uri, mime_type="application/json", text=text)]

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        """Return None: the resource has no arguments."""
        return None

    async def _call(self, arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        value = await self._value()
        text = json.dumps(value, ensure_ascii=False)
        return t.CallToolResult(content=[t.TextContent(text=text)], structured_content=value)

    async def _value(self) -> JsonObject:
        return {"models": [await self._entry(model) for model in self._runtime.models]}

    async def _entry(self, model: ModelEntry) -> JsonValue:
        error: str | None = None
        capabilities: list[JsonValue] = []
        try:
            capabilities += sorted(await self._runtime.capabilities(model.name))
        except ModelError as failure:
            error = str(failure)
        return {
            "name": model.name,
            "place": model.place,
            "is_default": model.is_default,
            "is_loaded": model.is_loaded,
            "capabilities": capabilities,
            "error": error,
        }
