"""``${VAR}`` and ``${VAR:-default}`` in texts; ``$${`` stands for a literal ``${``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from kronk_agent.config.yaml.document import parse_value
from kronk_agent.config.yaml.sourced import KeyPath, SourcedValue
from kronk_agent.errors import ConfigError

_PATTERN = re.compile(
    r"""
    (?P<literal> \$\$\{ )
  | \$\{ (?P<name> [A-Za-z_][A-Za-z0-9_]* ) (?: :- (?P<default> (?: (?!\$\{) [^}] )* ) )? \}
  | (?P<malformed> \$\{ )
    """,
    re.VERBOSE,
)


def with_variables(
    node: SourcedValue, environ: Mapping[str, str], path: KeyPath = ()
) -> tuple[SourcedValue, list[ConfigError]]:
    """Resolve the variables in all texts of the tree.

    Returns:
        The resolved tree, and an error for each variable that cannot be resolved.
    """
    mistakes: list[ConfigError] = []

    def below(child: SourcedValue, key: str | int) -> SourcedValue:
        done, problems = with_variables(child, environ, (*path, key))
        mistakes.extend(problems)
        return done

    match node.value:
        case dict() as children:
            value = {key: below(child, key) for key, child in children.items()}
            return replace(node, value=value), mistakes
        case list() as items:
            return replace(node, value=[below(x, i) for i, x in enumerate(items)]), mistakes
        case str() as text if "${" in text:
            expanded, problems = expand(text, environ)
            done = parse_value(expanded, node.origin)
            # A secret must not become mapping keys, which are shown.
            if isinstance(done.value, dict):
                done = replace(done, value=expanded)
            mistakes.extend(node.origin.mistake(problem, path) for problem in problems)
            return replace(done, written=text), mistakes
        case _:
            return node, mistakes


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Resolve the variables in a text; returns the text and the problems.

    As in a shell, a default also replaces an empty variable.
    """
    problems: list[str] = []

    def value_of(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["literal"]:
            return "${"
        if match["malformed"]:
            problems.append(
                "'${' must begin a variable such as ${VAR} or ${VAR:-default}: "
                "write '$${' for the characters themselves"
            )
            return match[0]
        if default is not None:
            return environ.get(name) or default
        if name not in environ:
            problems.append(
                f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}"
            )
        return environ.get(name, match[0])

    return _PATTERN.sub(value_of, text), list(dict.fromkeys(problems))


def escape(text: str) -> str:
    """Escape the text so that ``expand`` returns it unchanged."""
    return text.replace("${", "$${")
