"""Base64 in every dialect is read, and what is none is told apart."""

from __future__ import annotations

import base64
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.host.results.base64_data import decode, media_type_in

DATA = bytes(range(256))
PLAIN = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "\r\n".join(textwrap.wrap(PLAIN, 76)) + "\n",
        PLAIN.rstrip("="),
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
        f"data:image/png;charset=x;base64,{PLAIN}",
        f"  {PLAIN}  ",
        PLAIN.replace("+", "%2B").replace("=", "%3D"),
        PLAIN[:76] + "\\n" + PLAIN[76:],
    ],
)
def test_each_dialect_gives_the_same_bytes(text: str) -> None:
    assert decode(text) == DATA


@given(st.binary())
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    assert decode(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["?", "häßlich", "data:image/png;base64,***", "abcde"])
def test_anything_else_is_no_base64(text: str) -> None:
    assert decode(text) is None


def test_a_data_url_names_its_media_type() -> None:
    assert media_type_in("data:image/PNG;base64,AAAA") == "image/png"
    assert media_type_in("AAAA") == ""
