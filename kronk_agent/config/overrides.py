"""Overrides from outside the file: environment variables and flags."""

from __future__ import annotations

from collections.abc import Mapping

from kronk_agent.config.schema.schema_path import ROOT, Setting
from kronk_agent.config.yaml.document import parse_value
from kronk_agent.config.yaml.sourced import Origin, SourcedValue, from_python, merge, nest

PREFIX = "KRONK_AGENT_"
CONFIG_VARIABLE = "KRONK_AGENT_CONFIG"
"""Names the configuration file; the only variable with the prefix that is no setting."""


def with_environment(tree: SourcedValue, environ: Mapping[str, str]) -> SourcedValue:
    """Apply environment variables: ``KRONK_AGENT_ENGINE__THREADS`` sets engine.threads."""
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            value = parse_value(environ[variable], Origin(variable))
            path = _path_of(variable.removeprefix(PREFIX), tree)
            tree = merge(tree, nest(path, value))
    return tree


def with_flags(tree: SourcedValue, overrides: Mapping[str, object]) -> SourcedValue:
    """Apply flags: ``agent.max_steps`` is set by the flag ``--max-steps``."""
    for key, value in overrides.items():
        path = tuple(key.split("."))
        flag = f"--{path[-1].replace('_', '-')}"
        tree = merge(tree, nest(path, from_python(value, Origin(flag))))
    return tree


def _path_of(name: str, tree: SourcedValue) -> tuple[str, ...]:
    """Return the key path that a variable's name stands for.

    Setting names are lower case. User-defined names, such as a server's, match those of the file
    ignoring case and hyphens (variables cannot contain a hyphen), else are used as written.
    """
    path: list[str] = []
    setting: Setting | None = ROOT
    node: SourcedValue | None = tree
    for part in name.split("__"):
        children = node.value if node is not None and isinstance(node.value, dict) else {}
        is_free = setting is not None and not setting.sections
        key = _free_name(part, children) if is_free else part.lower()
        path.append(key)
        setting = setting and setting.below(key)
        node = children.get(key)
    return tuple(path)


def _free_name(part: str, names: Mapping[str, SourcedValue]) -> str:
    if part in names:
        return part
    return next((name for name in names if _folded(name) == _folded(part)), part)


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
