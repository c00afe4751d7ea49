from __future__ import annotations

import contextlib

import pytest

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, Format, Source
from kronk_tools.reading.formats import is_readable, read
from kronk_tools.reading.html import MAX_ELEMENTS, MAX_HTML_CHARS

URL = "https://example.com/articles/1"
SENTENCE = "It goes on for a while, because an article is more than a line of text. "
ARTICLE = f"""<!doctype html><html lang="en"><head><title> An  article &amp; more </title>
<meta name="author" content="Ada Lovelace"><meta property="article:published_time"
content="2026-02-01T10:00:00Z"><link rel="canonical" href="/articles/one"></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav>
<article><h1>The headline</h1>
<p>{SENTENCE * 4} See <a href="/other?x=1">the other one</a>.</p>
<table><tr><th>Name</th><th>Price</th></tr><tr><td>Tea</td><td>3</td></tr></table>
<ul><li>first</li><li>second</li></ul>
</article><script>alert(1)</script><footer>Imprint</footer></body></html>"""


def page(html: str, media_type: str = "text/html", format: Format = "markdown") -> Document:
    return read(Source(html.encode(), URL, media_type, format=format))


def refusal(html: str, media_type: str = "text/html") -> str:
    with pytest.raises(ToolError) as error:
        page(html, media_type)
    return str(error.value)


def test_an_article_becomes_markdown_with_links_and_tables() -> None:
    assert page(ARTICLE) == Document(
        title="An article & more",
        text=(
            f"# The headline\n\n{SENTENCE * 4}See "
            "[the other one](https://example.com/other?x=1).\n\n"
            "| Name | Price |\n|---|---|\n| Tea | 3 |\n\n- first\n- second"
        ),
        date="2026-02-01",
        author="Ada Lovelace",
        language="en",
        canonical_url="https://example.com/articles/one",
        links=(
            "https://example.com/",
            "https://example.com/about",
            "https://example.com/other?x=1",
        ),
    )


def test_an_article_as_text_has_no_markup() -> None:
    text = page(ARTICLE, format="text").text

    assert "The headline" in text
    assert "See the other one." in text
    assert "](" not in text


def test_the_source_of_an_article_is_given_as_it_is() -> None:
    assert page(ARTICLE, format="raw").text == ARTICLE


def test_the_links_of_a_page_are_listed_once_each_in_order() -> None:
    html = (
        "<html><head><base href='/docs/'></head><body><a href='a'> First  one </a><a href='#top'>"
        "<a href='a#part'>again</a><a href='mailto:x@y.z'>mail</a><a href='http://[bad'>bad</a>"
        "<a href='https://b.example/'><img src=x></a></body></html>"
    )

    assert page(html, format="links").text == (
        "- [First one](https://example.com/docs/a)\n- https://b.example/"
    )
    assert page("<p>none", format="links").text == "(no links)"


@pytest.mark.parametrize(
    ("html", "title", "text"),
    [
        (
            "<html><head><title>T</title></head><body><p>The code is 4711.</p></body></html>",
            "T",
            "The code is 4711.",
        ),
        ("<h1>Only a headline</h1>", "Only a headline", "# Only a headline"),
        ("<p>just a paragraph</p>", None, "just a paragraph"),
        ("no markup at all", None, "no markup at all"),
        ("<html><body><form><label>Only a form</label></form></body></html>", None, "Only a form"),
        ("<html><body>hid\u200bden<p>\u202eback</body></html>", None, "hidden\n\nback"),
        (
            "<html><body><p>Short, with <a href='/a'>a link</a>.</p>"
            "<table><tr><th>A</th></tr><tr><td>1</td></tr></table></body></html>",
            None,
            "Short, with [a link](https://example.com/a).\n\n| A |\n|---|\n| 1 |",
        ),
    ],
)
def test_a_page_that_is_no_article_is_given_whole(html: str, title: str | None, text: str) -> None:
    document = page(html)

    assert (document.title, document.text) == (title, text)


def test_a_page_that_is_a_list_of_links_keeps_all_of_them() -> None:
    items = "".join(f"<li><a href='/{n}'>The page with number {n}</a></li>" for n in range(80))
    text = page(f"<html><body><h1>Index</h1><ul>{items}</ul></body></html>").text

    assert "[The page with number 0](https://example.com/0)" in text
    assert "[The page with number 79](https://example.com/79)" in text


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/ld+json", "text/plain", "text/csv", "application/atom+xml"],
)
def test_what_is_not_html_is_passed_through(media_type: str) -> None:
    text = '<a>{"key": "https://a.example/b?c=1."}</a>\n\n<b>'

    assert page(text, media_type) == Document(text, links=("https://a.example/b?c=1",))


def test_a_document_without_a_type_is_looked_at() -> None:
    assert page("  <html><title>T</title><body>x</body></html>", "").title == "T"
    assert page('{"a": 1}', "") == Document('{"a": 1}')


def test_xml_that_is_a_web_page_is_read_as_one() -> None:
    html = "<!DOCTYPE html><html xmlns='http://www.w3.org/1999/xhtml'><body><p>A page.</p></body>"

    assert page(html, "application/xml").text == "A page."


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("", "has no text to read: use another source"),
        (" \n ", "has no text to read: use another source"),
        ("<html><body></body></html>", "has no text to read: use another source"),
        ("<!-- only a comment -->", "has no text to read: use another source"),
        ("GIF89a\0\0", "is not text but binary data"),
    ],
)
def test_a_page_without_text_says_so(html: str, words: str) -> None:
    said = refusal(html)

    assert said.startswith(URL)
    assert words in said


@pytest.mark.parametrize(
    "body",
    [
        "<div id=app></div><script>start()</script>",
        "<div id=root><p>Loading…</p></div><script src=/main.js></script>",
        "<noscript>You need to enable JavaScript.</noscript><div></div><script></script>",
        "<div>One moment</div><noscript>Bitte Javascript einschalten</noscript><script></script>",
        "<script>document.write('x')</script>",
    ],
)
def test_a_page_that_is_only_a_shell_for_javascript_says_so(body: str) -> None:
    said = refusal(f"<html><head><title>App</title></head><body>{body}</body></html>")

    assert said == (
        f"{URL} builds its content with JavaScript, which is not run here, and has no text "
        "of its own: use another source, or read its data with format=raw"
    )


@pytest.mark.parametrize(
    "body",
    [
        "<p>The code is 4711.</p><script>count()</script>",
        f"<p id=app>{SENTENCE * 5}</p><noscript>enable JavaScript</noscript><script></script>",
        "<div id=app><p>Short and without a script.</p></div>",
    ],
)
def test_a_page_that_has_text_is_no_shell(body: str) -> None:
    assert page(f"<html><body>{body}</body></html>").text


def test_html_is_looked_at_up_to_a_bound_and_the_result_says_so() -> None:
    document = page("<html><body><p>" + "word " * (MAX_HTML_CHARS // 5))

    assert document.note == "Only the first 2,000,000 characters of its HTML were read."
    assert document.text.startswith("word word word")
    assert len(document.text) < MAX_HTML_CHARS


def test_a_page_with_too_many_elements_is_given_whole() -> None:
    text = page("<html><body>" + "<p>words</p>" * (MAX_ELEMENTS + 1)).text

    assert text.startswith("words\n\nwords\n\nwords")


def test_a_tag_with_very_many_attributes_costs_nothing() -> None:
    """libxml2 takes the square of their number: minutes, for these."""
    attributes = " ".join(f"a{number}" for number in range(100_000))

    assert page(f"<html><body><p {attributes}>one</p><p>two</p></body></html>").text


@pytest.mark.parametrize("html", ["<div>" * 100_000, "<table><tr><td>x" * 5_000, "<p>" * 20_000])
def test_a_page_made_to_be_hard_ends_soon(html: str) -> None:
    """The bound is pytest's time limit; these may have text or not."""
    with contextlib.suppress(ToolError):
        page(f"<html><body>{html}")


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("text/html", True),
        ("text/markdown", True),
        ("application/xhtml+xml", True),
        ("application/problem+json", True),
        ("", True),
        ("image/png", True),
        ("image/svg+xml", True),
        ("image/tiff", False),
        ("application/pdf", True),
        ("application/rss+xml", True),
        ("audio/mpeg", False),
        ("application/octet-stream", True),
        ("application/javascript", True),
        ("application/x-sh", True),
        ("application/zip", False),
        ("application/x-tar", False),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", False),
        ("font/woff2", False),
    ],
)
def test_which_types_can_be_read(media_type: str, expected: bool) -> None:
    assert is_readable(media_type) == expected
