"""A tree checked under the schema."""

from __future__ import annotations

import json

from pydantic import ValidationError

from kronk_agent.config.paths import with_absolute_paths
from kronk_agent.config.schema.config import Config
from kronk_agent.config.schema.schema_path import ROOT
from kronk_agent.config.yaml.explain import explain
from kronk_agent.config.yaml.sourced import Node, plain
from kronk_agent.errors import ConfigError


def validate(tree: Node) -> tuple[Config, list[ConfigError]]:
    """The configuration with absolute paths, or the defaults and what was wrong."""
    # By way of JSON: strict there means what YAML means (no number from text, no text from a
    # number), while lists may become tuples and texts paths.
    text = json.dumps(plain(tree, ROOT), ensure_ascii=False)
    try:
        config = Config.model_validate_json(text.encode(errors="replace"), strict=True)
    except ValidationError as error:
        return Config(), list(explain(error, tree))
    return with_absolute_paths(config, tree)
