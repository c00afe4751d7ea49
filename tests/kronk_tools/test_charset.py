from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_tools.fetching.charset import decode

GERMAN = "Größe und Übermaß: die Straße führt über den Fluß nach Köln, schön wär’s."
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 5


@pytest.mark.parametrize(
    ("body", "http_charset", "text"),
    [
        # what the server says is right
        (GERMAN.encode(), "utf-8", GERMAN),
        (GERMAN.encode("cp1252"), "windows-1252", GERMAN),
        (GERMAN.encode("cp1252"), "ISO-8859-1", GERMAN),
        (RUSSIAN.encode("koi8-r"), "KOI8-R", RUSSIAN),
        (JAPANESE.encode("cp932"), "Shift_JIS", JAPANESE),
        (JAPANESE.encode("euc_jp"), '"EUC-JP"', JAPANESE),
        (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", JAPANESE),
        (JAPANESE.encode("utf-16-le"), "utf-16le", JAPANESE),
        ("中文网页".encode("gb18030"), "gb2312", "中文网页"),
        # it is wrong
        (GERMAN.encode(), "iso-8859-1", GERMAN),
        (GERMAN.encode("cp1252"), "utf-8", GERMAN),
        (RUSSIAN.encode("cp1251"), "utf-8", RUSSIAN),
        # it says nothing, or nonsense
        (GERMAN.encode(), None, GERMAN),
        (GERMAN.encode("cp1252"), None, GERMAN),
        (RUSSIAN.encode("cp1251"), None, RUSSIAN),
        (RUSSIAN.encode("cp1251"), "no-such-charset", RUSSIAN),
        (b"plain", "rot13", "plain"),
        (b"plain", "punycode", "plain"),
        (b"plain", "\0", "plain"),
        (b"plain", "", "plain"),
        # a byte order mark decides
        (b"\xef\xbb\xbf" + GERMAN.encode(), "iso-8859-1", GERMAN),
        (b"\xff\xfe" + RUSSIAN.encode("utf-16-le"), "utf-8", RUSSIAN),
        (b"\xfe\xff" + RUSSIAN.encode("utf-16-be"), None, RUSSIAN),
        # damaged UTF-8 stays UTF-8
        (b"Gr\xc3\xb6\xc3\x9fe \xff K\xc3\xb6ln", "utf-8", "Größe \ufffd Köln"),
        (b"", None, ""),
    ],
)
def test_a_body_is_decoded_as_its_author_meant(
    body: bytes, http_charset: str | None, text: str
) -> None:
    assert decode(body, http_charset) == text


@pytest.mark.parametrize(
    "declaration",
    [
        "<meta charset=windows-1251>",
        '<META http-equiv="Content-Type" content="text/html; charset=windows-1251">',
        "<?xml version='1.0' encoding='windows-1251'?>",
    ],
)
def test_a_page_may_name_its_charset_itself(declaration: str) -> None:
    page = declaration + "Привет"

    assert decode(page.encode("cp1251")) == page


def test_what_the_server_says_goes_before_what_the_page_says() -> None:
    page = "<meta charset=koi8-r>Привет"

    assert decode(page.encode("cp1251"), "windows-1251") == page


@given(body=st.binary(), charset=st.none() | st.text())
def test_every_body_gives_some_text(body: bytes, charset: str | None) -> None:
    assert isinstance(decode(body, charset), str)
