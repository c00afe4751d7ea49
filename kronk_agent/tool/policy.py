"""May a tool be called: rules with globs on its name, and on the value of an argument."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from kronk_agent.messages import JsonObject, JsonValue

Permission: TypeAlias = Literal["allow", "ask", "deny"]

_PATTERN = re.compile(r"(?P<tool>[^()]+)(\((?P<argument>[^()=]+)=(?P<glob>.*)\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is said of calls of some tools; ``*`` and ``?`` stand for any text."""

    permission: Permission
    tool: str = "*"
    """A glob on names."""
    argument: str | None = None
    """Only calls with this argument, a dotted path into it, ..."""
    value: str = "*"
    """... whose value matches this glob. What is no text is compared as JSON. Of a list one item
    is enough to deny or to ask, and to allow all of them must match. Denying and asking do not
    mind upper and lower case."""

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

    def covers(self, arguments: JsonObject) -> bool:
        """Does it say something of a call with these arguments?"""
        if self.argument is None:
            return True
        texts = _texts(arguments, self.argument.split("."))
        found = [self._fits(text) for text in texts]
        return all(found) and bool(found) if self.permission == "allow" else any(found)

    def _fits(self, text: str) -> bool:
        if self.permission == "allow":
            return fnmatchcase(text, self.value)
        return fnmatchcase(text.casefold(), self.value.casefold())


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


def permission(rules: Iterable[Rule], name: str, arguments: JsonObject) -> Permission:
    """deny wins over allow, allow over ask; what no rule is about may be called."""
    said = {rule.permission for rule in rules if rule.is_about(name) and rule.covers(arguments)}
    if "deny" in said:
        return "deny"
    return "ask" if said == {"ask"} else "allow"


def stricter(one: Permission, other: Permission) -> Permission:
    """What holds where two policies both have to agree."""
    return next(said for said in ("deny", "ask", "allow") if said in (one, other))


def _texts(value: JsonValue, path: list[str]) -> list[str]:
    """The values at a path, as texts; those of a list are several."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(item, path)]
    if path:
        rest = value.get(path[0]) if isinstance(value, dict) else None
        return [] if rest is None else _texts(rest, path[1:])
    return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)]
