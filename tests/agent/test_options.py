from __future__ import annotations

from dataclasses import fields

import pytest

from kronk_agent.agent import AgentOptions
from kronk_agent.config.schema import AgentConfig, SamplingConfig
from kronk_agent.errors import InvalidRequestError
from kronk_agent.model import SamplingParams, ToolChoice


def test_the_defaults_are_those_of_the_configuration() -> None:
    config = AgentConfig().model_dump(exclude={"tool_choice"})

    assert AgentOptions() == AgentOptions(
        **config,
        tool_choice=ToolChoice.parse(AgentConfig().tool_choice),
        sampling=SamplingParams(**SamplingConfig().model_dump()),
    )


def test_the_configuration_has_every_option() -> None:
    names = {field.name for field in fields(AgentOptions)}

    assert names == {*AgentConfig.model_fields, "sampling"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", 0),
        ("max_tokens", 0),
        ("tool_timeout_seconds", 0),
        ("tool_timeout_seconds", -1),
    ],
)
def test_a_limit_that_allows_nothing_is_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(InvalidRequestError, match=name) as caught:
        AgentOptions(**{name: value})  # type: ignore[arg-type]  # the wrong value is the point

    assert caught.value.param == name
