"""Validates a tree of values against the schema."""

from __future__ import annotations

import json

from pydantic import ValidationError

from kronk_agent.config.paths import with_absolute_paths
from kronk_agent.config.schema.config import Config
from kronk_agent.config.schema.schema_path import ROOT
from kronk_agent.config.yaml.explain import explain
from kronk_agent.config.yaml.sourced import SourcedValue, plain
from kronk_agent.errors import ConfigError


def validate(tree: SourcedValue) -> tuple[Config, list[ConfigError]]:
    """Return the configuration with absolute paths, or the defaults and the mistakes."""
    # Validate JSON instead of Python objects: strict mode then has the semantics of YAML (text is
    # not a number and vice versa), while lists may become tuples and texts become paths.
    text = json.dumps(plain(tree, ROOT), ensure_ascii=False)
    try:
        config = Config.model_validate_json(text.encode(errors="replace"), strict=True)
    except ValidationError as error:
        return Config(), list(explain(error, tree))
    return with_absolute_paths(config, tree)
