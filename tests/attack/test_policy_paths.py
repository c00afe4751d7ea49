"""Nobody reaches a denied file, or leaves an allowed folder, by writing a path differently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronk_agent.tools import Permission
from kronk_agent.tools.policy import permission, rules_in

DOOR = "policy: file paths"

TRIES = [
    "{folder}/private/key",
    "{folder}/private/./key",
    "{folder}//private//key",
    "//{folder}/private/key",
    "{folder}/private/../private/key",
    "{folder}/public/../private/key",
    "{folder}/PRIVATE/KEY",
    "{folder}/private/key/",
    " {folder}/private/key ",
    "{folder}/link/key",
    "{folder}/public/link/key",
    "{folder}/public/key",
    "{folder}/link/../private/key",
    "private/key",
    "./private/key",
    "public/../private/key",
    "link/key",
    "~/private/key",
    "~/public/../private/key",
    "file://{folder}/private/key",
    "file://localhost{folder}/private/key",
    "FILE:{folder}/private/%6bey",
    "{folder}\\private\\key",
    "{folder}/private/key\0",
    "{folder}/private/key\ud800",
    "{folder}/" + "./" * 500_000 + "private/key",
]
"""Spellings of ``private/key`` in the folder, or of what lies below it."""

NOT_ALLOWED = [
    "{folder}/private/key",
    "{folder}/public/../private/key",
    "{folder}/public/link/key",
    "{folder}/public/key",
    "{folder}/public",
    "{folder}/publicity/x",
    "public/../private/key",
    "public/link/new",
    "~/public/link/new",
    "file://{folder}/public/../private/key",
    "file://{folder}/public/%2e%2e/private/key",
    "/etc/passwd",
]
"""What is not under ``public``, or leads out of it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home and working directory with a secret, and symlinks to it."""
    folder = tmp_path_factory.mktemp("home").resolve()
    (folder / "private").mkdir()
    (folder / "private" / "key").write_text("secret")
    (folder / "public").mkdir()
    (folder / "link").symlink_to(folder / "private")
    (folder / "public" / "link").symlink_to(folder / "private")
    (folder / "public" / "key").symlink_to(folder / "private" / "key")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder))
        yield folder


def said(rules: dict[str, Permission], path: str) -> Permission:
    return permission(rules_in(rules), "read", {"path": path})


@pytest.mark.parametrize(
    "denied",
    ["{folder}/private/*", "~/private/*", "./private/*", "{folder}/link/*", "*/private/*"],
)
@pytest.mark.parametrize("path", TRIES)
def test_no_spelling_of_a_denied_path_passes(folder: Path, denied: str, path: str) -> None:
    rules: dict[str, Permission] = {f"read(path={denied.format(folder=folder)})": "deny"}
    assert said(rules, path.format(folder=folder)) == "deny"


@pytest.mark.parametrize("path", NOT_ALLOWED)
def test_no_path_leads_out_of_an_allowed_folder(folder: Path, path: str) -> None:
    rules: dict[str, Permission] = {"*": "ask", f"read(path={folder}/public/*)": "allow"}
    assert said(rules, path.format(folder=folder)) == "ask"


@pytest.mark.parametrize("path", ["{folder}/public/new", "public/new", "~/public/a/../new"])
def test_what_is_in_an_allowed_folder_is_allowed(folder: Path, path: str) -> None:
    rules: dict[str, Permission] = {"*": "ask", f"read(path={folder}/public/*)": "allow"}
    assert said(rules, path.format(folder=folder)) == "allow"


def test_an_allowed_folder_that_is_turned_into_a_symlink_is_not_followed(folder: Path) -> None:
    rules: dict[str, Permission] = {"*": "ask", f"read(path={folder}/later/*)": "allow"}
    assert said(rules, f"{folder}/later/key") == "allow"

    (folder / "later").symlink_to(folder / "private")

    assert said(rules, f"{folder}/later/key") == "ask"


_STEPS = ("/", "//", "/./", "/public/../", "/link/../", "/nothing/../", "/a/b/../../")


@settings(deadline=None)
@given(
    begin=st.sampled_from(("{folder}", "~", ".", "{folder}/link/..", "{folder}/public/..")),
    steps=st.tuples(*(st.sampled_from(_STEPS) for _ in range(2))),
    name=st.sampled_from(("private", "link", "PRIVATE", "public/link")),
)
def test_no_spelling_at_all_passes(
    folder: Path, begin: str, steps: tuple[str, ...], name: str
) -> None:
    path = begin.format(folder=folder) + steps[0] + name + steps[1] + "key"
    for denied in (f"{folder}/private/*", "~/private/key", "*/private/*"):
        assert said({f"read(path={denied})": "deny"}, path) == "deny"
