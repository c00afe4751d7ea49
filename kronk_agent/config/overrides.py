"""Settings from outside the file: environment variables and flags."""

from __future__ import annotations

from collections.abc import Mapping

from kronk_agent.config.schema.schema_path import ROOT, Setting
from kronk_agent.config.yaml.document import parse_value
from kronk_agent.config.yaml.sourced import Node, Origin, from_python, merge, nest

PREFIX = "KRONK_AGENT_"
CONFIG_VARIABLE = "KRONK_AGENT_CONFIG"
"""Names the file; the one variable with the prefix that is no setting."""


def with_environment(tree: Node, environ: Mapping[str, str]) -> Node:
    """The tree with what variables say: ``KRONK_AGENT_ENGINE__THREADS`` is engine.threads."""
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            value = parse_value(environ[variable], Origin(variable))
            path = _path_of(variable.removeprefix(PREFIX), tree)
            tree = merge(tree, nest(path, value))
    return tree


def with_flags(tree: Node, overrides: Mapping[str, object]) -> Node:
    """The tree with what flags say; ``agent.max_steps`` is the flag ``--max-steps``."""
    for key, value in overrides.items():
        path = tuple(key.split("."))
        flag = f"--{path[-1].replace('_', '-')}"
        tree = merge(tree, nest(path, from_python(value, Origin(flag))))
    return tree


def _path_of(name: str, tree: Node) -> tuple[str, ...]:
    """The key path a variable's name stands for.

    Setting names are lower case. Free names, such as a server's, are those of the file whatever
    their case (variables cannot hold a hyphen), else as the variable writes them.
    """
    path: list[str] = []
    setting: Setting | None = ROOT
    node: Node | None = tree
    for part in name.split("__"):
        children = node.value if node is not None and isinstance(node.value, dict) else {}
        is_free = setting is not None and not setting.sections
        key = _free_name(part, children) if is_free else part.lower()
        path.append(key)
        setting = setting and setting.below(key)
        node = children.get(key)
    return tuple(path)


def _free_name(part: str, known: Mapping[str, Node]) -> str:
    if part in known:
        return part
    return next((name for name in known if _folded(name) == _folded(part)), part)


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
