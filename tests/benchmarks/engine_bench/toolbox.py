"""Twenty tools of an office, as an agent might be given: bounds, enumerations, nesting."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, JsonValue


def _text(longest: int = 48) -> JsonObject:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _whole(low: int, high: int) -> JsonObject:
    return {"type": "integer", "minimum": low, "maximum": high}


def _one_of(*values: str) -> JsonObject:
    return {"type": "string", "enum": list(values)}


def _many(items: JsonObject, most: int) -> JsonObject:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _object(**properties: JsonValue) -> JsonObject:
    """Every property is required, so that calls of one tool are of like length."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_YES_NO: JsonObject = {"type": "boolean"}
_FOLDER = _one_of("inbox", "archive", "shared")
_UNIT = _one_of("celsius", "fahrenheit")
_URGENCY = _one_of("low", "normal", "high")
_CARRIER = _one_of("road", "rail", "air", "sea")
_CABIN = _one_of("economy", "business")
_DATE: JsonObject = {"type": "string", "format": "date"}
_PLACE = _object(city=_text(24), country=_one_of("AT", "BE", "DE", "ES", "FR", "IT", "NL", "PT"))
_PERSON = _object(name=_text(24), role=_one_of("owner", "editor", "reader"))

TOOLS: dict[str, JsonObject] = {
    "book_room": _object(site=_PLACE, seats=_whole(1, 200), day=_DATE, hours=_whole(1, 12)),
    "cancel_booking": _object(booking=_whole(1000, 99999), reason=_text()),
    "convert_currency": _object(
        amount=_whole(1, 1000000), source=_one_of("EUR", "USD", "GBP"), target=_one_of("CHF", "JPY")
    ),
    "create_invoice": _object(
        customer=_text(24),
        lines=_many(_object(item=_text(24), units=_whole(1, 500), price=_whole(1, 10000)), 3),
        due_days=_whole(7, 90),
    ),
    "create_task": _object(
        title=_text(), priority=_one_of("low", "normal", "high", "urgent"), due=_DATE
    ),
    "find_contact": _object(name=_text(24), limit=_whole(1, 50)),
    "find_document": _object(words=_text(), folder=_FOLDER, limit=_whole(1, 50)),
    "find_flight": _object(start=_PLACE, end=_PLACE, day=_DATE, cabin=_CABIN),
    "find_train": _object(start=_PLACE, end=_PLACE, day=_DATE, is_direct=_YES_NO),
    "forecast_weather": _object(place=_PLACE, days=_whole(1, 14), unit=_UNIT),
    "get_stock": _object(article=_whole(100, 99999), site=_PLACE),
    "list_events": _object(start=_DATE, end=_DATE, calendar=_one_of("mine", "team", "holidays")),
    "order_supplies": _object(
        items=_many(_object(article=_whole(100, 99999), units=_whole(1, 1000)), 3),
        speed=_one_of("standard", "express"),
    ),
    "read_page": _object(number=_whole(1, 9999), part=_whole(1, 40)),
    "rename_folder": _object(source=_text(32), target=_text(32)),
    "send_message": _object(to=_text(24), subject=_text(), urgency=_URGENCY),
    "share_folder": _object(folder=_text(32), people=_many(_PERSON, 3), is_public=_YES_NO),
    "start_survey": _object(question=_text(64), answers=_many(_text(24), 4), days=_whole(1, 60)),
    "track_parcel": _object(parcel=_whole(100000, 999999), carrier=_CARRIER),
    "translate_text": _object(text=_text(64), target=_one_of("de", "es", "fr", "it", "nl", "pt")),
}
"""JSON Schemas of the arguments, by name."""

CALL_SCHEMA: JsonObject = {
    "anyOf": [
        _object(name={"const": name}, arguments=arguments) for name, arguments in TOOLS.items()
    ]
}
"""A call of any of them: what ``tool_choice: required`` means."""


def signatures() -> str:
    """The tools as a prompt lists them: one line each."""
    return "\n".join(
        f"- {name}({', '.join(_signature(arguments))})" for name, arguments in TOOLS.items()
    )


def _signature(schema: JsonObject) -> list[str]:
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return [f"{name}: {_kind(value)}" for name, value in properties.items()]


def _kind(schema: JsonValue) -> str:
    assert isinstance(schema, dict)
    match schema:
        case {"enum": list(values)}:
            return "|".join(map(str, values))
        case {"type": "array", "items": items}:
            return f"[{_kind(items)}]"
        case {"type": "object"}:
            return f"{{{', '.join(_signature(schema))}}}"
        case {"minimum": low, "maximum": high}:
            return f"{low}..{high}"
        case _:
            return str(schema.get("format", schema["type"]))
