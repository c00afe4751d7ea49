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
    """What is said of calls of some tools; ``*`` and ``?`` stand for any text."""

    permission: Permission
    tool: str = "*"
    """A glob on names."""
    argument: str | None = None
    """Only calls with this argument: a name, one inside another behind dots, or a part of an
    address (``url.host``; also scheme, port, path, query), ..."""
    value: str = "*"
    """... whose value matches this glob. Web addresses and file paths are compared in canonical
    form, numbers as numbers, and what is no text as JSON. Denying and asking take whatever the
    value can mean and do not mind case; to allow, all of it must match. Of a list one item is
    enough to deny or to ask, and to allow all of them must match."""

    @classmethod
    def parse(cls, pattern: str, permission: Permission) -> Rule:
        """From ``tool`` or ``tool(argument=value)``, each a glob.

        Raises:
            ValueError: it is neither; completes "KEY: ...".
        """
        match = _PATTERN.fullmatch(pattern.strip())
        if match is None:
            raise ValueError("must be a tool, or tool(argument=value); * and ? stand for any text")
        if match["argument"] is None:
            return cls(permission, match["tool"])
        return cls(permission, match["tool"], match["argument"].strip(), match["glob"])

    def is_about(self, name: str) -> bool:
        """Does it say something of calls of this tool?"""
        return fnmatchcase(name, self.tool)

    def covers(
        self,
        arguments: JsonObject,
        *,
        schema: JsonObject | None = None,
        folders: Sequence[Path] | None = None,
    ) -> bool:
        """Does it say something of a call with these arguments?

        Args:
            arguments: those of the call.
            schema: of the arguments; says which are addresses.
            folders: where relative paths may begin; None is the folder we run in.
        """
        if self.argument is None:
            return True
        if folders is None:
            folders = (Path.cwd(),)
        is_exact = self.permission == "allow"
        found = [
            value.fits(self.value, folders, is_exact=is_exact)
            for value in values_at(arguments, self.argument, schema or {})
        ]
        return all(found) and bool(found) if is_exact else any(found)


def rules_in(said: Mapping[str, Permission]) -> tuple[Rule, ...]:
    """The rules of a section of the configuration: what is said, by pattern.

    Raises:
        ValueError: a pattern is none.
    """
    return tuple(Rule.parse(pattern, permission) for pattern, permission in said.items())


def rules_about(rules: Iterable[Rule], name: str) -> tuple[Rule, ...]:
    """Those that say something of a tool, as rules of it, whatever it is called elsewhere."""
    return tuple(replace(rule, tool="*") for rule in rules if rule.is_about(name))


def is_never_allowed(rules: Iterable[Rule], name: str) -> bool:
    """Is every call of the tool denied, whatever its arguments?"""
    return any(
        rule.permission == "deny" and rule.argument is None and rule.is_about(name)
        for rule in rules
    )


def is_named(name: str, globs: Iterable[str]) -> bool:
    """Is a tool one of those that globs name?"""
    return any(fnmatchcase(name, glob) for glob in globs)


def permission(
    rules: Iterable[Rule],
    name: str,
    arguments: JsonObject,
    *,
    schema: JsonObject | None = None,
    folders: Sequence[Path] | None = None,
) -> Permission:
    """deny wins over allow, allow over ask; what no rule is about may be called.

    Raises nothing, whatever the arguments are; ``schema`` and ``folders`` are as for ``covers``.
    """
    said = {
        rule.permission
        for rule in rules
        if rule.is_about(name) and rule.covers(arguments, schema=schema, folders=folders)
    }
    if "deny" in said:
        return "deny"
    return "ask" if said == {"ask"} else "allow"


def stricter(one: Permission, other: Permission) -> Permission:
    """What holds where two policies both have to agree."""
    return next(said for said in ("deny", "ask", "allow") if said in (one, other))
