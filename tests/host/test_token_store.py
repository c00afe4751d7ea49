from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import keyring.backend
import keyring.errors
import pytest
from keyring.backends import fail

from kronk_agent.host.oauth.token_store import (
    EncryptedFiles,
    Keyring,
    TokenStore,
    TokenStoreError,
    open_token_store,
)

PASSPHRASE = {"KRONK_TOKEN_PASSPHRASE": "correct horse"}
TEXT = '{"access_token": "hunter2"}'


class MemoryKeyring(keyring.backend.KeyringBackend):
    """What an operating system has, for the length of a test."""

    priority = 1  # pyright: ignore[reportAssignmentType]  # a property of the class in keyring

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.entries.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError

    def _check(self) -> None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("it is locked")


@pytest.fixture(params=["keyring", "files", "passphrase"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    match request.param:
        case "keyring":
            return Keyring(MemoryKeyring())
        case "files":
            return open_token_store(environ={}, directory=tmp_path)
        case _:
            return open_token_store(environ=PASSPHRASE, directory=tmp_path)


def test_what_is_written_is_read_until_it_is_deleted(store: TokenStore) -> None:
    assert store.read("work") is None

    store.write("work", "older")
    store.write("work", TEXT)
    store.write("other", "x")
    assert (store.read("work"), store.read("other")) == (TEXT, "x")

    store.delete("work")
    store.delete("work")
    assert (store.read("work"), store.read("other")) == (None, "x")


@pytest.mark.parametrize("environ", [{}, PASSPHRASE], ids=["key file", "passphrase"])
def test_files_are_encrypted_and_private(tmp_path: Path, environ: dict[str, str]) -> None:
    open_token_store(environ=environ, directory=tmp_path).write("work", TEXT)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"work.login"} | (
        {"logins.key"} if not environ else set()
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "logins").stat().st_mode) == 0o700
    assert all(b"hunter2" not in path.read_bytes() for path in files)


def test_without_the_right_key_nothing_is_read(tmp_path: Path) -> None:
    logins, key = tmp_path / "logins", tmp_path / "key"
    EncryptedFiles(logins, key, None).write("work", TEXT)

    for other in (tmp_path / "no key", tmp_path / "other key"):
        store = EncryptedFiles(logins, other, None)
        with pytest.raises(TokenStoreError) as caught:
            store.read("work")
        assert str(caught.value) == (
            f"{logins / 'work.login'} cannot be decrypted: "
            f"{other} has another key than it was encrypted with: sign in again"
        )
        (tmp_path / "other key").write_bytes(b"damaged")
    with pytest.raises(TokenStoreError, match="correct KRONK_TOKEN_PASSPHRASE, or sign in again"):
        EncryptedFiles(logins, key, "wrong").read("work")


def test_a_damaged_key_is_told_before_anything_is_overwritten(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"damaged")

    with pytest.raises(TokenStoreError) as caught:
        EncryptedFiles(tmp_path / "logins", key, None).write("work", TEXT)

    assert str(caught.value) == f"{key} holds no key: delete it"


def test_a_file_that_was_altered_is_not_read(tmp_path: Path) -> None:
    store = open_token_store(environ={}, directory=tmp_path)
    store.write("work", TEXT)
    file = tmp_path / "logins" / "work.login"
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)

    with pytest.raises(TokenStoreError, match="cannot be decrypted"):
        store.read("work")


def test_a_keyring_that_is_locked_says_what_would_do() -> None:
    backend = MemoryKeyring()
    backend.is_locked = True
    store = Keyring(backend)

    uses: list[Callable[[], object]] = [
        lambda: store.read("x"),
        lambda: store.write("x", "y"),
        lambda: store.delete("x"),
    ]
    for use in uses:
        with pytest.raises(TokenStoreError) as caught:
            use()
        assert str(caught.value).endswith(
            "cannot be used (KeyringLocked: it is locked): unlock it, or set "
            "KRONK_TOKEN_PASSPHRASE to keep logins in encrypted files instead"
        )


def test_the_keyring_is_used_unless_there_is_none_or_a_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    before = keyring.get_keyring()
    try:
        keyring.set_keyring(MemoryKeyring())
        assert isinstance(open_token_store(environ={}), Keyring)
        in_files = open_token_store(environ=PASSPHRASE)
        keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
        without = open_token_store(environ={})
    finally:
        keyring.set_keyring(before)

    assert in_files.location == without.location
    assert without.location == f"encrypted files in {tmp_path / 'data/kronk-agent/logins'}"
