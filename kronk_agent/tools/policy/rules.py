"""Rules with globs on a tool's name and on the value of an argument."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypeAlias

from kronk_agent.messages import JsonObject
from kronk_agent.tools.policy.values import values_at

Permission: TypeAlias = Literal["allow", "ask", "deny"]

_PATTERN = re.compile(r"(?P<tool>[^()]+)(\((?P<argument>[^()=]+)=(?P<glob>.*)\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """A permission for calls that match; ``*`` and ``?`` are wildcards."""

    permission: Permission
    tool: str = "*"
    """Glob on the tool's name."""
    argument: str | None = None
    """Restricts the rule to calls with this argument.

    A name, a nested one separated by dots, or a component of a URL (``url.host``; also scheme,
    port, path, query).
    """
    value: str = "*"
    """Glob on the argument's value.

    URLs and file paths are compared in canonical form, numbers as numbers, other values as JSON. To
    deny or ask, any interpretation of the value may match, ignoring case; to allow, all of them
    must match. For lists, one item is enough to deny or ask, and all items must match to allow.
    """

    @classmethod
    def parse(cls, pattern: str, permission: Permission) -> Rule:
        """Parse ``tool`` or ``tool(argument=value)``, each a glob.

        Raises:
            ValueError: the pattern is neither; the message completes "KEY: ...".
        """
        match = _PATTERN.fullmatch(pattern.strip())
        if match is None:
            raise ValueError("must be a tool, or tool(argument=value); * and ? are wildcards")
        if match["argument"] is None:
            return cls(permission, match["tool"])
        return cls(permission, match["tool"], match["argument"].strip(), match["glob"])

    def is_about(self, name: str) -> bool:
        """True if the rule applies to the tool."""
        return fnmatchcase(name, self.tool)

    def covers(
        self,
        arguments: JsonObject,
        *,
        schema: JsonObject | None = None,
        folders: Sequence[Path] | None = None,
    ) -> bool:
        """True if the rule applies to a call with these arguments.

        Args:
            arguments: the arguments of the call.
            schema: their JSON Schema, which tells which of them are URLs.
            folders: base directories of relative paths; None means the working directory.
        """
        if self.argument is None:
            return True
        if folders is None:
            folders = (Path.cwd(),)
        is_exact = self.permission == "allow"
        found = [
            value.matches(self.value, folders, is_exact=is_exact)
            for value in values_at(arguments, self.argument, schema or {})
        ]
        return all(found) and bool(found) if is_exact else any(found)


def rules_in(permissions: Mapping[str, Permission]) -> tuple[Rule, ...]:
    """Parse a section of the configuration: permissions by pattern.

    Raises:
        ValueError: a pattern is invalid.
    """
    return tuple(Rule.parse(pattern, permission) for pattern, permission in permissions.items())


def rules_about(rules: Iterable[Rule], name: str) -> tuple[Rule, ...]:
    """Return the rules that apply to a tool, with ``*`` as their tool."""
    return tuple(replace(rule, tool="*") for rule in rules if rule.is_about(name))


def is_never_allowed(rules: Iterable[Rule], name: str) -> bool:
    """True if every call of the tool is denied, whatever its arguments."""
    return any(
        rule.permission == "deny" and rule.argument is None and rule.is_about(name)
        for rule in rules
    )


def is_named(name: str, globs: Iterable[str]) -> bool:
    """True if the name matches one of the globs."""
    return any(fnmatchcase(name, glob) for glob in globs)


def permission(
    rules: Iterable[Rule],
    name: str,
    arguments: JsonObject,
    *,
    schema: JsonObject | None = None,
    folders: Sequence[Path] | None = None,
) -> Permission:
    """Return the permission for a call: deny over allow over ask; allow if no rule applies.

    Never raises, whatever the arguments. For ``schema`` and ``folders`` see ``Rule.covers``.
    """
    permissions = {
        rule.permission
        for rule in rules
        if rule.is_about(name) and rule.covers(arguments, schema=schema, folders=folders)
    }
    if "deny" in permissions:
        return "deny"
    return "ask" if permissions == {"ask"} else "allow"


def stricter(one: Permission, other: Permission) -> Permission:
    """Return the stricter of two permissions."""
    return next(
        permissions for permissions in ("deny", "ask", "allow") if permissions in (one, other)
    )
