"""JSON Schemas of the tools' structured results, for protocols that declare them."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, JsonValue

_TEXT: JsonObject = {"type": "string"}
_NUMBER: JsonObject = {"type": "integer"}
_TEXT_OR_NULL: JsonObject = {"type": ["string", "null"]}
_NUMBER_OR_NULL: JsonObject = {"type": ["integer", "null"]}


def _object(
    required: dict[str, JsonValue], optional: dict[str, JsonValue] | None = None
) -> JsonObject:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


SEARCH_RESULT = _object(
    {
        "query": _TEXT,
        "provider": _TEXT,
        "page": _NUMBER,
        "results": {
            "type": "array",
            "items": _object(
                {
                    "number": _NUMBER,
                    "title": _TEXT,
                    "url": _TEXT,
                    "snippet": _TEXT,
                    "date": _TEXT_OR_NULL,
                }
            ),
        },
    }
)

FETCH_RESULT = _object(
    {"url": _TEXT, "status": _NUMBER, "media_type": _TEXT, "source": _NUMBER_OR_NULL},
    {
        # Everything except images:
        "title": _TEXT_OR_NULL,
        "date": _TEXT_OR_NULL,
        "author": _TEXT_OR_NULL,
        "language": _TEXT_OR_NULL,
        "canonical_url": _TEXT_OR_NULL,
        "total_chars": _NUMBER,
        "start": _NUMBER,
        "end": _NUMBER,
        "next_start": _NUMBER_OR_NULL,
        # With `find`:
        "num_matches": _NUMBER,
        "passages": {
            "type": "array",
            "items": _object({"start": _NUMBER, "end": _NUMBER, "text": _TEXT}),
        },
    },
)
