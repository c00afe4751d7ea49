"""The settings of a turn that requests have under the names of ``ModelSettings``."""

from __future__ import annotations

from typing import Any

from kronk_agent.api.protocols.common.sampling import SamplingFields
from kronk_agent.config.schema.derived import optional_fields_of
from kronk_agent.settings import ModelSettings

_OF_EACH_PROTOCOL = frozenset(
    (
        *("sampling", "tool_choice", "response_format", "max_tokens", "stop"),
        *("logprobs", "top_logprobs", "reasoning_effort", "separate_reasoning"),
        *("continue_final_message", "cache_salt", "streamed"),
    )
)
"""Settings that each protocol has in a form of its own, or not at all."""

_OF_THE_SERVER = frozenset(("max_tool_description_tokens", "share_prefix"))
"""Settings that no request changes."""

_Derived: Any = optional_fields_of(
    ModelSettings, SamplingFields, leave_out=_OF_EACH_PROTOCOL | _OF_THE_SERVER
)


class SettingsFields(_Derived):  # type: ignore[misc]  # derived
    """The other fields of ``ModelSettings``; one that is left out or null is as configured."""

    def settings(self, base: ModelSettings) -> dict[str, Any]:
        """The values that the request sets, by the names of ``ModelSettings``.

        Args:
            base: what is configured.

        Raises:
            InvalidRequestError: a sampling parameter out of range, or two that exclude each other.
        """
        names = set(_Derived.model_fields) - set(SamplingFields.model_fields)
        given: dict[str, Any] = {name: getattr(self, name) for name in sorted(names)}
        set_here = {name: value for name, value in given.items() if value is not None}
        return set_here | {"sampling": self.sampling(base.sampling)}
