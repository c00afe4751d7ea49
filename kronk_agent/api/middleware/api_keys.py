"""API keys with scopes and limits. Only their hashes are stored.

A key has 192 random bits, so a plain SHA-256 suffices: it cannot be reversed by guessing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import platformdirs
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kronk_agent.errors import ConfigError
from kronk_agent.files import write_whole

Scope: TypeAlias = Literal["generate", "embed", "agents", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("generate", "embed", "agents")

_PREFIX = "kronk-"
_SHOWN = 10
_ID_DIGITS = 32
_MAX_NAME_LENGTH = 64
_LOCK_SECONDS = 10.0


class ApiKey(BaseModel):
    """The stored record of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    hash: Annotated[str, Field(repr=False)]
    """SHA-256 of the key, in hexadecimal digits."""
    start: str
    """The key's first characters, to tell keys apart."""
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    """generate: models; embed: embeddings and rerank; agents: agents and tools that run on the
    server; admin: metrics and slots."""
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    """Maximum concurrent requests."""
    created: Annotated[int, Field(ge=0, lt=2**32)]
    """Seconds since 1970."""

    @property
    def id(self) -> str:
        """Owner id of the key's data: as random as the key, and never reused."""
        return self.hash[:_ID_DIGITS]


_KEYS = TypeAdapter(tuple[ApiKey, ...])


class KeyFile:
    """The file of API keys; re-read whenever it has changed.

    Args:
        path: None is ``keys.json`` in the user's data folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = (
            path or platformdirs.user_data_path("kronk-agent", appauthor=False) / "keys.json"
        )
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def all(self) -> tuple[ApiKey, ...]:
        """All keys, in order of creation.

        Raises:
            ConfigError: the file cannot be read or is invalid.
        """
        self._read()
        return tuple(self._keys.values())

    def find(self, token: str) -> ApiKey | None:
        """The record of the key that a client presents; None if it is unknown."""
        self._read()
        return self._keys.get(hash_key(token))

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[Scope] = DEFAULT_SCOPES,
        requests_per_minute: int | None = None,
        max_concurrent: int | None = None,
    ) -> str:
        """Create a key and return its text, which is not stored.

        Raises:
            ConfigError: the name is taken or invalid.
        """
        if not name.isprintable() or name != name.strip() or not 0 < len(name) <= _MAX_NAME_LENGTH:
            raise ConfigError(
                f"key name {name!r} is invalid: use 1 to {_MAX_NAME_LENGTH} printable characters, "
                "without spaces at either end"
            )
        token = _PREFIX + secrets.token_urlsafe(24)
        key = ApiKey(
            name=name,
            hash=hash_key(token),
            start=token[:_SHOWN],
            scopes=tuple(scopes),
            requests_per_minute=requests_per_minute,
            max_concurrent=max_concurrent,
            created=int(time.time()),
        )
        with self._locked():
            keys = self.all()
            if any(other.name == name for other in keys):
                raise ConfigError(f"key {name!r} already exists: revoke it, or use another name")
            self._write([*keys, key])
        return token

    def revoke(self, name: str) -> None:
        """Delete a key; running servers reject it from the next request on.

        Raises:
            ConfigError: no key has this name.
        """
        with self._locked():
            keys = self.all()
            remaining = [key for key in keys if key.name != name]
            if len(remaining) == len(keys):
                existing = ", ".join(key.name for key in keys) or "none"
                raise ConfigError(f"unknown key {name!r}; existing keys: {existing}")
            self._write(remaining)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the file against other processes inside the block, and re-read it."""
        lock = FileLock(self.path.with_suffix(".json.lock"), timeout=_LOCK_SECONDS, mode=0o600)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with lock:
                self._seen = None
                yield
        except Timeout:
            raise ConfigError(
                f"locked by another program for over {_LOCK_SECONDS:.0f} s: try again",
                path=self.path,
            ) from None
        except OSError as error:
            raise self._failure("change", error) from error

    def _read(self) -> None:
        try:
            stat = self.path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen == self._seen:
                return
            keys = _KEYS.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            self._seen, self._keys = None, {}
            return
        except OSError as error:
            raise self._failure("read", error) from error
        except ValidationError:
            message = "not a valid file of API keys: restore a backup, or remove it"
            raise ConfigError(message, path=self.path) from None
        self._seen, self._keys = seen, {key.hash: key for key in keys}

    def _write(self, keys: Iterable[ApiKey]) -> None:
        text = json.dumps([key.model_dump(mode="json") for key in keys], indent=2)
        write_whole(self.path, text.encode())

    def _failure(self, action: str, error: OSError) -> ConfigError:
        return ConfigError(f"cannot {action} the API keys: {error.strerror}", path=self.path)


def hash_key(token: str) -> str:
    """The SHA-256 of a key, in hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()
