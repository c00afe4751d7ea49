"""``${VAR}`` and ``${VAR:-default}`` in texts; ``$${`` stands for a literal ``${``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from kronk_agent.config.yaml.document import parse_value
from kronk_agent.config.yaml.sourced import KeyPath, Node
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
    node: Node, environ: Mapping[str, str], path: KeyPath = ()
) -> tuple[Node, list[ConfigError]]:
    """The tree with variables put into its texts, and a mistake for each that cannot be."""
    mistakes: list[ConfigError] = []

    def below(child: Node, key: str | int) -> Node:
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
            if isinstance(done.value, dict):  # a secret must not become keys, which are shown
                done = replace(done, value=expanded)
            mistakes.extend(node.origin.mistake(problem, path) for problem in problems)
            return replace(done, written=text), mistakes
        case _:
            return node, mistakes


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with the variables put in, and what was wrong.

    As in a shell, a default also stands in for an empty variable.
    """
    problems: list[str] = []

    def value_of(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["literal"]:
            return "${"
        if match["malformed"]:
            problems.append(
                "'${' begins a variable, as in ${VAR} or ${VAR:-default}: "
                "write '$${' where you mean the characters"
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
    """The text written so that ``expand`` gives it back."""
    return text.replace("${", "$${")
