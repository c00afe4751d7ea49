"""Detects values in a server's entry that look like secrets and belong in the environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kronk_agent.config.mcp_clients.known_clients import variable_for
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.redaction import MASK, secrets_in_url

_NAME = re.compile(r"key|token|secret|passw|credential|auth|cookie|(^|_)pat$", re.IGNORECASE)
_VALUE = re.compile(
    r"(sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abp]|eyJ|AKIA|AIza|hf|npm)[-_]?\w{12,}"
)
_SCHEME = re.compile(r"(?:Bearer|Basic|Token) ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that looks like a secret."""

    key: str
    """Path in the entry, e.g. ``env.API_KEY``."""
    variable: str
    """Suggested name of an environment variable for it."""


def secrets_in(name: str, entry: JsonObject) -> list[Secret]:
    """Return the likely secrets in a server's entry, except values with variables."""
    return [secret for secret, _ in _found(name, entry)]


def looks_secret(name: str) -> bool:
    """True if a name, such as that of an environment variable, indicates a secret value."""
    return _NAME.search(name) is not None


def secrets_in_args(args: Sequence[str]) -> Iterator[str]:
    """Yield values on a command line that look like secrets, such as ``--api-key VALUE``."""
    for before, arg in zip(("", *args), args, strict=False):
        name, equals, value = arg.partition("=")
        if equals and _NAME.search(name):
            yield value
        elif (before.startswith("-") and "=" not in before and _NAME.search(before)) or (
            _VALUE.search(arg)
        ):
            yield arg
        elif ":" in arg and _NAME.search(arg.partition(":")[0]):  # --header "Authorization: …"
            yield from (arg.partition(":")[2].strip(), arg.rpartition(" ")[2])
        if "://" in arg:
            yield from secrets_in_url(arg)


def masked_url(url: str) -> str:
    """Mask user, password and query of a URL: many remote servers take their key there."""
    base, question, _ = url.partition("#")[0].partition("?")
    return re.sub(r"//[^/]*@", f"//{MASK}@", base, count=1) + (f"?{MASK}" if question else "")


def without_secrets(name: str, entry: JsonObject) -> JsonObject:
    """Return the entry with variables in place of likely secrets."""
    changed = dict(entry)
    for secret, text in _found(name, entry):
        section, _, key = secret.key.partition(".")
        below = dict(_mapping(changed, section))
        scheme = _SCHEME.match(text)
        below[key] = f"{scheme[0] if scheme else ''}${{{secret.variable}}}"
        changed[section] = below
    return changed


def _found(name: str, entry: JsonObject) -> list[tuple[Secret, str]]:
    found: list[tuple[Secret, str]] = []
    for section in ("env", "headers", "oauth"):
        for key, value in _mapping(entry, section).items():
            if isinstance(value, str) and _is_secret(section, key, value):
                variable = key if section == "env" else variable_for(f"{name}_{key}")
                found.append((Secret(f"{section}.{key}", variable), value))
    return found


def _is_secret(section: str, key: str, value: str) -> bool:
    if "${" in value.replace("$${", "") or not value:
        return False
    if section == "oauth":
        return key == "client_secret"
    return bool(_NAME.search(key) or _VALUE.search(value) or _SCHEME.match(value))


def _mapping(entry: JsonObject, section: str) -> dict[str, JsonValue]:
    value = entry.get(section)
    return value if isinstance(value, dict) else {}
