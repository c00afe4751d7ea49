"""Storage of logins: the system keyring, or encrypted files without one.

Files are encrypted with Fernet (AES-128-CBC and HMAC-SHA256). The key is derived with scrypt from
the passphrase in ``KRONK_TOKEN_PASSPHRASE``, if set. Otherwise it is random and stored in a
separate file that only the user can read, in another directory: a copy of one directory, in a
backup or a synchronised home, is useless without the other. This does not protect from programs
that run as the same user; only a keyring or a passphrase does.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import platformdirs

from kronk_agent.errors import KronkError
from kronk_agent.files import write_whole

PASSPHRASE_VARIABLE = "KRONK_TOKEN_PASSPHRASE"

_SERVICE = "kronk-agent"
_SALT_BYTES = 16


class TokenStoreError(KronkError):
    """The token store cannot be used."""


class TokenStore(Protocol):
    """Stores one text per name. Its methods block, and raise ``TokenStoreError``."""

    @property
    def location(self) -> str:
        """Location of the store, for display."""
        ...

    def read(self, name: str) -> str | None:
        """Read the text; None if it does not exist."""
        ...

    def write(self, name: str, text: str) -> None:
        """Store the text."""
        ...

    def delete(self, name: str) -> None:
        """Delete the text; a missing one is ignored."""
        ...


def open_token_store(
    *, environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> TokenStore:
    """Open the keyring if available and no passphrase is set, else encrypted files.

    Args:
        environ: environment variables; None: those of the process.
        directory: store encrypted files here; None: the user's directories.
    """
    environ = os.environ if environ is None else environ
    passphrase = environ.get(PASSPHRASE_VARIABLE)
    if directory is None and not passphrase and (found := _keyring()) is not None:
        return found
    data = directory or platformdirs.user_data_path("kronk-agent", appauthor=False)
    keys = directory or platformdirs.user_config_path("kronk-agent", appauthor=False)
    return EncryptedFiles(data / "logins", keys / "logins.key", passphrase)


def _keyring() -> TokenStore | None:
    import keyring  # searches for backends on import
    from keyring.backends import fail, null

    backend = keyring.get_keyring()
    if isinstance(backend, fail.Keyring | null.Keyring):
        return None
    return Keyring(backend)


class Keyring:
    """The system's keyring: Keychain, Credential Manager, Secret Service, KWallet …"""

    def __init__(self, backend: object) -> None:
        from keyring.backend import KeyringBackend

        assert isinstance(backend, KeyringBackend)
        self._backend = backend

    @property
    def location(self) -> str:
        """Name of the keyring, for display."""
        return f"the keyring ({self._backend.name})"

    def read(self, name: str) -> str | None:
        """Read the text; None if it does not exist."""
        from keyring.errors import KeyringError

        try:
            return self._backend.get_password(_SERVICE, name)
        except KeyringError as error:
            raise self._failure(error) from error

    def write(self, name: str, text: str) -> None:
        """Store the text."""
        from keyring.errors import KeyringError

        try:
            self._backend.set_password(_SERVICE, name, text)
        except KeyringError as error:
            raise self._failure(error) from error

    def delete(self, name: str) -> None:
        """Delete the text; a missing one is ignored."""
        from keyring.errors import KeyringError, PasswordDeleteError

        try:
            with suppress(PasswordDeleteError):  # it did not exist
                self._backend.delete_password(_SERVICE, name)
        except KeyringError as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> TokenStoreError:
        return TokenStoreError(
            f"{self.location} cannot be used ({type(error).__name__}: {error}): unlock it, or set "
            f"{PASSPHRASE_VARIABLE} to keep logins in encrypted files instead"
        )


class EncryptedFiles:
    """One encrypted file per name, readable only by the user."""

    def __init__(self, directory: Path, key_file: Path, passphrase: str | None) -> None:
        self._directory = directory
        self._key_file = key_file
        self._passphrase = passphrase

    @property
    def location(self) -> str:
        """Directory of the files, for display."""
        return f"encrypted files in {self._directory}"

    def read(self, name: str) -> str | None:
        """Decrypt the text; None if it does not exist."""
        from cryptography.fernet import Fernet, InvalidToken

        file = self._file(name)
        try:
            data = file.read_bytes()
            key = self._key(data[:_SALT_BYTES])
            return Fernet(key).decrypt(data[_SALT_BYTES:]).decode()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot("read", file, error) from error
        except (InvalidToken, ValueError):  # ValueError: the key file is damaged
            message = f"{file} cannot be decrypted: {self._remedy()}"
            raise TokenStoreError(message) from None

    def write(self, name: str, text: str) -> None:
        """Encrypt and store the text."""
        from cryptography.fernet import Fernet

        file, salt = self._file(name), secrets.token_bytes(_SALT_BYTES)
        try:
            if not self._passphrase:
                _create_privately(self._key_file, Fernet.generate_key())
            encrypted = Fernet(self._key(salt)).encrypt(text.encode())
            write_whole(file, salt + encrypted)
        except OSError as error:
            raise _cannot("written", file, error) from error
        except ValueError:
            raise TokenStoreError(f"{self._key_file} holds no key: delete it") from None

    def delete(self, name: str) -> None:
        """Delete the file, if it exists."""
        file = self._file(name)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot("deleted", file, error) from error

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.login"

    def _key(self, salt: bytes) -> bytes:
        if not self._passphrase:
            return self._key_file.read_bytes() if self._key_file.exists() else b""
        # 32 MiB and about 0.1 s for each guess.
        derived = hashlib.scrypt(
            self._passphrase.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=2**26, dklen=32
        )
        return base64.urlsafe_b64encode(derived)

    def _remedy(self) -> str:
        if self._passphrase:
            return f"correct {PASSPHRASE_VARIABLE}, or sign in again"
        return f"{self._key_file} has another key than it was encrypted with: sign in again"


def _cannot(what: str, file: Path, error: OSError) -> TokenStoreError:
    return TokenStoreError(f"{file} cannot be {what}: {error.strerror}")


def _create_privately(file: Path, data: bytes) -> None:
    """Create the file unless it exists; another process may create it at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
