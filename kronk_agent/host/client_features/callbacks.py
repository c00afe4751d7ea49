"""Callbacks for the requests of a server, as the SDK's client takes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mcp.types as t
from mcp.client import ClientRequestContext
from pydantic import FileUrl

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host.client_features.elicitation import ElicitationHandler
from kronk_agent.host.client_features.sampling import Answer, GetModel, SamplingHandler
from kronk_agent.host.client_features.user import UserInteraction
from kronk_agent.host.diagnostics.failures import redactor_of
from kronk_agent.host.diagnostics.log import ServerLog
from kronk_agent.host.session.call_timeouts import CallTimeouts
from kronk_agent.host.tools.sanitize import strip_invisible

logger = logging.getLogger(__name__)

LOG_LEVEL: t.LoggingLevel = "info"
"""Lowest level of log messages requested from servers."""

_LONGEST_LOG_LINE = 2000


class ClientCallbacks:
    """Handlers for the requests of one server. Only offered features are declared to it."""

    def __init__(
        self,
        server: str,
        config: McpServerConfig,
        *,
        get_model: GetModel | None,
        person: UserInteraction | None,
        timeouts: CallTimeouts,
        log: ServerLog,
    ) -> None:
        self._roots: Sequence[Path] = config.roots
        self._log = log
        self._redact = redactor_of(config)
        self.timeouts = timeouts
        self.elicitor = ElicitationHandler(server, config, person=person, timeouts=timeouts)
        self.sampler: SamplingHandler | None = None
        if get_model is not None:
            sampler = SamplingHandler(
                server, config, get_model=get_model, person=person, timeouts=timeouts
            )
            self.sampler = sampler if sampler.is_offered else None

    def client_arguments(self) -> dict[str, Any]:
        """Arguments for ``mcp.Client``: a callback that is present declares its capability."""
        arguments: dict[str, Any] = {"logging_callback": self._on_log, "log_level": LOG_LEVEL}
        if self.sampler is not None:
            arguments["sampling_callback"] = self._sample
            arguments["sampling_capabilities"] = t.SamplingCapability(
                tools=t.SamplingToolsCapability()
            )
        if self.elicitor.is_offered:
            arguments["elicitation_callback"] = self._elicit
        if self._roots:
            arguments["list_roots_callback"] = self._list_roots
        return arguments

    async def _sample(
        self, context: ClientRequestContext, params: t.CreateMessageRequestParams
    ) -> Answer:
        assert self.sampler is not None, "it is declared only when there is one"
        return await self.sampler.answer(params)

    async def _elicit(
        self, context: ClientRequestContext, params: t.ElicitRequestParams
    ) -> t.ElicitResult | t.ErrorData:
        return await self.elicitor.answer(params)

    async def _list_roots(self, context: ClientRequestContext) -> t.ListRootsResult:
        return t.ListRootsResult(
            roots=[
                t.Root(uri=FileUrl(path.absolute().as_uri()), name=path.name)
                for path in self._roots
            ]
        )

    async def _on_log(self, params: t.LoggingMessageNotificationParams) -> None:
        """Write a log notification to the file that receives the server's stderr."""
        data = params.data if isinstance(params.data, str) else json.dumps(params.data)
        name = f" {params.logger}" if params.logger else ""
        line = " ".join(strip_invisible(self._redact(f"[{params.level}{name}] {data}")).split())
        self._log.write(line[:_LONGEST_LOG_LINE])
