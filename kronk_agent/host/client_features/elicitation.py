"""Elicitation: a server asks the user to fill in a form or to open a URL."""

from __future__ import annotations

from urllib.parse import urlsplit

import anyio
import mcp.types as t

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host.client_features.user import (
    FormElicitation,
    FormValues,
    UrlElicitation,
    UserInteraction,
)
from kronk_agent.host.session.call_timeouts import CallTimeouts
from kronk_agent.host.tools.sanitize import strip_invisible
from kronk_agent.messages import JsonObject
from kronk_agent.tools.arguments import ArgumentsCheck

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class ElicitationHandler:
    """Handles the elicitations of one server, one at a time."""

    def __init__(
        self,
        server: str,
        config: McpServerConfig,
        *,
        person: UserInteraction | None,
        timeouts: CallTimeouts,
    ) -> None:
        self._server = server
        self._config = config
        self._person = person
        self._timeouts = timeouts
        self._lock = anyio.Lock()

    @property
    def is_offered(self) -> bool:
        """True if elicitation is enabled and a user can be asked."""
        return self._config.elicitation == "ask" and self._person is not None

    async def answer(self, params: t.ElicitRequestParams) -> t.ElicitResult | t.ErrorData:
        """Ask the user; declines if elicitation is not offered."""
        if self._person is None or not self.is_offered:
            return t.ElicitResult(action="decline")
        with self._timeouts.paused_for_client_request():
            async with self._lock:
                match params:
                    case t.ElicitRequestFormParams():
                        return await self._answer_form(params, self._person)
                    case t.ElicitRequestURLParams():
                        return await self._approve_url(params, self._person)

    async def _answer_form(
        self, params: t.ElicitRequestFormParams, person: UserInteraction
    ) -> t.ElicitResult | t.ErrorData:
        schema: JsonObject = dict(params.requested_schema)
        answer = await person.answer_form(
            FormElicitation(self._server, strip_invisible(params.message), schema)
        )
        if answer.action != "accept":
            return t.ElicitResult(action=answer.action)
        values = with_defaults(answer.values, schema)
        if problem := _problem(values, schema):
            return t.ErrorData(code=t.INTERNAL_ERROR, message=f"the form's values{problem}")
        return t.ElicitResult(action="accept", content=values)

    async def _approve_url(
        self, params: t.ElicitRequestURLParams, person: UserInteraction
    ) -> t.ElicitResult | t.ErrorData:
        try:
            parts = urlsplit(params.url)
            host = parts.hostname
        except ValueError:
            return t.ErrorData(code=t.INVALID_PARAMS, message="the url is not valid")
        is_local = parts.scheme == "http" and host in _LOOPBACK
        if not host or not (parts.scheme == "https" or is_local):
            return t.ErrorData(code=t.INVALID_PARAMS, message="the url must begin with https://")
        elicitation = UrlElicitation(self._server, strip_invisible(params.message), params.url)
        return t.ElicitResult(action=await person.approve_url(elicitation))


def with_defaults(values: FormValues, schema: JsonObject) -> FormValues:
    """Fill missing values with the schema's defaults."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return values
    completed = dict(values)
    for name, field in properties.items():
        default = field.get("default") if isinstance(field, dict) else None
        match default:
            case str() | int() | float():
                completed.setdefault(name, default)
            case list():
                completed.setdefault(name, [item for item in default if isinstance(item, str)])
    return completed


def _problem(values: FormValues, schema: JsonObject) -> str | None:
    as_json: JsonObject = {
        name: [*value] if isinstance(value, list) else value for name, value in values.items()
    }
    return ArgumentsCheck(schema, check_formats=True).problem(as_json)
