"""Nobody reaches a denied web address, or one that is not allowed, by writing it differently."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronk_agent.tools.policy import permission, rules_in

DOOR = "policy: web addresses"
DENIED = "fetch(url=https://intranet.corp/secret*)"
ALLOWED = "fetch(url=https://*.example.com/*)"

TRIES = [
    "https://intranet.corp/secret",
    " https://intranet.corp/secret",
    "\x00\x1fhttps://intranet.corp/secret",
    "http://intranet.corp/secret",
    "HTTPS://INTRANET.CORP/secret",
    "https://intranet.corp./secret",
    "https://intranet.corp/%73ecret",
    "https://intranet.corp/%2573ecret",
    "https://intranet.corp/SECRET",
    "https://intranet.corp/x/../secret",
    "https://intranet.corp/x/%2e%2E/secret",
    "https://intranet.corp/x%2f..%2fsecret",
    "https://intranet.corp/./secret",
    "https://intranet.corp//secret",
    "https://intranet.corp\\secret",
    "https:\\\\intranet.corp\\secret",
    "https:intranet.corp/secret",
    "https:/intranet.corp/secret",
    "https:////intranet.corp/secret",
    "https://@intranet.corp/secret",
    "https://user:pass@intranet.corp/secret",
    "https://evil.example\\@intranet.corp/secret",
    "https://intranet.corp:443/secret",
    "http://intranet.corp:443/secret",
    "https://intranet.corp:8443/secret",
    "https://intranet.corp/secret/",
    "https://intranet.corp/secret?a=b",
    "https://intranet.corp/secret#a",
    "https://intranet。corp/secret",
    "https://intranet．corp/secret",
    "https://ｉntranet.corp/secret",
    "https://intra\u00adnet.corp/secret",
    "https://%69ntranet.corp/secret",
    "https://intra\tnet.corp/sec\nret",
    "ht\ttps://intranet.corp/secret",
    "//intranet.corp/secret",
    "intranet.corp/secret",
    "https://intranet.corp:99999/secret",
    "https://intranet.corp/secret\ud800",
    "https://intranet.corp/" + "./" * 500_000 + "secret",
    "https://intranet.corp/%" + "25" * 500_000 + "73ecret",
]
"""Spellings of an address under ``DENIED``; all but the first got in before."""

NOT_ALLOWED = [
    "https://evil.example/?x=.example.com/",
    "https://10.0.0.1/.example.com/",
    "https://evil.example/#.example.com/",
    "https://evil.example\\.example.com/",
    "https://evil.example\\@docs.example.com/",
    "https://docs.example.com\\@evil.example/",
    "https://docs.example.com@evil.example/.example.com/",
    "https://docs.example.com:443@evil.example/",
    "https://docs.example.com:8443/x",
    "http://docs.example.com/x",
    "https://example.com/x",
    "https://evilexample.com/x",
    "https://evil.example%2f.example.com/",
    "https://evil.example%00.example.com/",
    "https://docs.example.com/x?leak=1",
    "docs.example.com/x",
    "//docs.example.com/x",
    "evil.example/://docs.example.com/x",
    "evil.example/https://docs.example.com/x",
    "https://docs.example.com/" + "x" * 9_000,
]
"""Addresses that are not under ``ALLOWED``."""


@pytest.mark.parametrize("url", TRIES)
def test_no_spelling_of_a_denied_address_passes(url: str) -> None:
    assert permission(rules_in({DENIED: "deny"}), "fetch", {"url": url}) == "deny"


@pytest.mark.parametrize("url", NOT_ALLOWED)
def test_no_other_address_looks_like_an_allowed_one(url: str) -> None:
    rules = rules_in({"*": "ask", ALLOWED: "allow"})
    assert permission(rules, "fetch", {"url": url}) == "ask"


@pytest.mark.parametrize("url", [url for url in NOT_ALLOWED if "evil" in url])
def test_no_other_host_looks_like_one_that_is_allowed_with_any_scheme(url: str) -> None:
    rules = rules_in({"*": "ask", "fetch(url=*://*.example.com/*)": "allow"})
    assert permission(rules, "fetch", {"url": url}) == "ask"


@pytest.mark.parametrize(
    "url",
    [
        "evil.example/.example.com/x",
        "evil.example/?.example.com/x",
        "evil.example#.example.com/x",
        "me:.example.com/@evil.example",
        "docs.example.com@evil.example/",
        "/.example.com/x",
    ],
)
def test_no_address_without_a_scheme_looks_like_an_allowed_one(url: str) -> None:
    rules = rules_in({"*": "ask", "fetch(url=*.example.com/*)": "allow"})
    assert permission(rules, "fetch", {"url": url}) == "ask"


@pytest.mark.parametrize(
    ("denied", "url"),
    [
        ("http://127.0.0.1*", "http://2130706433/"),
        ("http://127.0.0.1*", "http://0x7f.1/"),
        ("http://127.0.0.1*", "http://0177.0.0.1/"),
        ("http://127.0.0.1*", "http://[::ffff:127.0.0.1]/"),
        ("http://127.0.0.1*", "http://[::ffff:7f00:1]:80/"),
        ("http://[::1]", "http://[0:0:0:0:0:0:0:1]/x"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example", "https://bu\u0308cher.example/"),
        ("https://a.example/caf\u00e9", "https://a.example/cafe%CC%81"),
    ],
)
def test_no_spelling_of_a_denied_host_passes(denied: str, url: str) -> None:
    assert permission(rules_in({f"fetch(url={denied})": "deny"}), "fetch", {"url": url}) == "deny"


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """https://intranet.corp/secret/page as the URL standard lets it be written."""

    def letters(text: str) -> str:
        return "".join(draw(st.sampled_from((each, f"%{ord(each):02x}"))) for each in text)

    def ignored() -> str:
        return draw(st.sampled_from(("", "", "\t", "\n", "\r")))

    def steps() -> str:
        return draw(st.sampled_from(("/", "//", "/./", "/a/../", "/%2e/", "/a/%2E%2e/", "\\")))

    scheme = draw(st.sampled_from(("http", "https", "HTTPS", "hTTp")))
    slashes = draw(st.sampled_from(("//", "\\\\", "/\\", "///")))
    user = draw(st.sampled_from(("", "", "@", "u@", "u:p@", "a.example:80@")))
    dot = draw(st.sampled_from((".", "\u3002", "\uff0e", "%2e")))
    host = f"{letters('intra')}{ignored()}net{dot}{letters('corp')}"
    end = draw(st.sampled_from(("", ".", ":", ":80", ":443", ":8080")))
    path = f"{steps()}{letters('secret')}{ignored()}{steps()}{letters('page')}"
    rest = draw(st.sampled_from(("", "/", "?", "?a=b", "#", "#/x", "/?#")))
    blank = draw(st.text(" \t\n\r\x00\x1f", max_size=3))
    return f"{blank}{scheme}:{ignored()}{slashes}{user}{host}{end}{path}{rest}{blank}"


@pytest.mark.parametrize(
    "rule",
    [
        "fetch(url=https://intranet.corp)",
        "fetch(url=https://intranet.corp/)",
        "fetch(url=http://Intranet.Corp./secret/*)",
        "fetch(url=https://*.corp/secret/page)",
        "fetch(url=intranet.corp/*)",
        "fetch(url=*intranet.corp*)",
        "fetch(url.host=intranet.corp)",
        "fetch(url.path=/secret/page)",
    ],
)
@settings(deadline=None)
@given(url=spellings())
def test_no_spelling_at_all_passes(rule: str, url: str) -> None:
    assert permission(rules_in({rule: "deny"}), "fetch", {"url": url}) == "deny"


@settings(deadline=None)
@given(url=spellings() | st.text() | st.text(string.printable))
def test_no_text_is_allowed_that_leads_elsewhere(url: str) -> None:
    rules = rules_in({"*": "ask", "fetch(url=https://docs.example.com/*)": "allow"})

    for text in (url, f"https://{url}", f"https://{url}.docs.example.com/"):
        host = "docs.example.com" in text.casefold()
        assert permission(rules, "fetch", {"url": text}) == "ask" or host
