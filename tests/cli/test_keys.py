from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.cli.app import app

pytestmark = pytest.mark.usefixtures("own_folders")


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def test_a_key_is_shown_once_and_then_only_how_it_begins() -> None:
    token = keys("create", "laptop", "--scope", "embed", "--rate", "60").stdout.strip()
    listed = keys("list").stdout

    assert KeyFile().find(token)
    assert token not in listed
    assert listed.startswith(f"laptop  {token[:10]}…  ")
    assert listed.rstrip().endswith("embed, 60 requests/minute")


def test_a_revoked_key_is_gone() -> None:
    keys("create", "laptop")
    revoked = keys("revoke", "laptop")

    assert (revoked.exit_code, keys("list").stdout) == (0, "")


def test_a_name_is_given_once() -> None:
    keys("create", "laptop")
    again = keys("create", "laptop")

    assert again.exit_code == 2
    assert "key 'laptop' already exists" in again.stderr


def test_what_is_not_there_cannot_be_revoked() -> None:
    unknown = keys("revoke", "laptop")

    assert unknown.exit_code == 2
    assert "unknown key 'laptop'; existing keys: none" in unknown.stderr
