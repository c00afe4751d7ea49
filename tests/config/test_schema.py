"""The schema itself: in step with what it configures, and fit for editors."""

from __future__ import annotations

import dataclasses

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import ValidationError

from kronk_agent.config.schema.config import Config, SamplingConfig
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject
from kronk_agent.settings import SamplingParams

DEFAULTS = SamplingConfig().model_dump()
NUMBERS = sorted(name for name, value in DEFAULTS.items() if not isinstance(value, tuple))
WHOLE_NUMBERS = {"seed", *(name for name, value in DEFAULTS.items() if isinstance(value, int))}


def test_the_sampling_section_has_the_defaults_of_the_sampling_parameters() -> None:
    defaults = dataclasses.asdict(SamplingParams())
    del defaults["logit_bias"]  # of one request, not of a configuration

    assert SamplingConfig().model_dump() == defaults


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", [-101, -100, -2, -1, -0.5, 0, 1e-4, 1e-3, 1, 1.5, 100, 101, 2**31 - 1, 2**31, 2**32]
)
def test_the_sampling_section_has_the_ranges_of_the_sampling_parameters(
    name: str, value: float
) -> None:
    try:
        section = SamplingConfig.model_validate({name: value})
    except ValidationError:
        section = None
    if section is None and isinstance(value, float) and name in WHOLE_NUMBERS:
        return  # a fraction where a whole number belongs; the parameters have types for that

    if section is None:
        with pytest.raises(InvalidRequestError):
            SamplingParams(**{name: value})  # type: ignore[arg-type]
    else:
        SamplingParams(**section.model_dump())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samplers", ("top_k", "no_such")),
        ("samplers", ("top_k", "top_k")),
        ("dry_sequence_breakers", ("",)),
        ("dry_sequence_breakers", ("x",) * 101),
    ],
)
def test_lists_are_refused_alike(name: str, value: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequestError):
        SamplingParams(**{name: value})  # type: ignore[arg-type]
    with pytest.raises((ValidationError, InvalidRequestError)):
        SamplingParams(**SamplingConfig.model_validate({name: value}).model_dump())


def test_every_setting_is_described_in_the_json_schema() -> None:
    schema = Config.model_json_schema()
    objects: list[JsonObject] = [schema, *schema["$defs"].values()]

    bare = [
        name
        for one in objects
        for name, setting in one["properties"].items()  # type: ignore[union-attr]
        if "description" not in setting and "$ref" not in setting  # type: ignore[operator]
    ]

    assert bare == []
    assert all("description" in one for one in objects)


@pytest.mark.parametrize(
    ("config", "is_valid"),
    [
        ({"mcp_servers": {"a": {"command": "x"}}, "tools": ["web_fetch"]}, True),
        ({"web_fetch": {"allow_private": ["127.0.0.0/8"]}}, True),
        ({"modl": "x"}, False),
        ({"agent": {"max_steps": 0}}, False),
        ({"mcp_servers": {"a": {"url": "ftp://x"}}}, False),
    ],
)
def test_the_json_schema_takes_and_refuses_what_loading_does(
    config: JsonObject, is_valid: bool
) -> None:
    Draft202012Validator.check_schema(Config.model_json_schema())

    problem = best_match(Draft202012Validator(Config.model_json_schema()).iter_errors(config))

    assert (problem is None) == is_valid
