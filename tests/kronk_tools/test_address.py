from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_tools.fetching.address import find_urls, normalized_url


@pytest.mark.parametrize(
    "spellings",
    [
        ["https://example.com", "http://EXAMPLE.com:443/", "https://example.com./#part"],
        ["https://example.com/A?b=c", "http://example.com:80/A?b=c#d"],
        ["https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"],
        ["http://[::1]:8080/", "http://[0:0:0:0:0:0:0:1]:8080"],
        ["https://example.com/a/../b", "https://example.com/b/"],
    ],
)
def test_spellings_of_an_address_compare(spellings: list[str]) -> None:
    assert len({normalized_url(url) for url in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a?b=1", "https://example.com/a?b=2"),
        ("https://example.com/a?b=1", "https://example.com/a"),
        ("https://example.com/", "https://www.example.com/"),
        ("https://example.com/", "https://example.com:8443/"),
        ("https://example.com/", "https://еxample.com/"),  # a Cyrillic е
    ],
)
def test_different_addresses_do_not_compare(one: str, other: str) -> None:
    assert normalized_url(one) != normalized_url(other)


@pytest.mark.parametrize("text", ["", "example.com", "ftp://a.b/", "http://u:p@a.b/", "http://."])
def test_what_is_no_address_of_the_web_has_no_form(text: str) -> None:
    assert normalized_url(text) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Read https://a.example/x, please.", "a.example/x"),
        ("(https://a.example/x)", "a.example/x"),
        ("https://a.example/x_(y).", "a.example/x_(y)"),
        ("[one](https://a.example/1)[two](https://b.example/2)", "b.example/2"),
        ("<https://a.example/x>", "a.example/x"),
        ("**https://a.example/x**", "a.example/x"),
        ("What does docs.python.org/3/ say?", "docs.python.org/3"),
        ("Look at EXAMPLE.COM!", "example.com"),
        ("https://a.example/?q=1&r=2\n", "a.example/?q=1&r=2"),
    ],
)
def test_addresses_in_a_text_are_found(text: str, address: str) -> None:
    assert address in set(map(normalized_url, find_urls(text)))


@pytest.mark.parametrize("text", ["", "e.g. v1.2", "me@mail.example", "a/b.c", "1.5.2", "..."])
def test_where_there_is_no_address_none_is_found(text: str) -> None:
    assert list(find_urls(text)) == []


@given(text=st.text(alphabet="htps:/.a1b)]([ ?#%@é\x00", max_size=60))
def test_any_text_can_be_looked_through(text: str) -> None:
    for found in find_urls(f"https://{text}"):
        assert found == found.strip()
        assert "://" in found


def test_a_text_made_to_be_slow_is_not() -> None:
    for text in ("https://" + ")" * 200_000, "a." * 100_000, "https://[" * 20_000):
        list(find_urls(text))
