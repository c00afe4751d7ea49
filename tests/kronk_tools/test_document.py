from __future__ import annotations

import contextlib

import pytest

from kronk_agent.errors import ToolError
from kronk_tools.document import MAX_HTML_CHARS, Document, is_readable, read

URL = "https://example.com/articles/1"
SENTENCE = "It goes on for a while, because an article is more than a line of text. "
ARTICLE = f"""<!doctype html><html><head><title> An  article &amp; more </title></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav>
<article><h1>The headline</h1>
<p>{SENTENCE * 4} See <a href="/other?x=1">the other one</a>.</p>
<table><tr><th>Name</th><th>Price</th></tr><tr><td>Tea</td><td>3</td></tr></table>
<ul><li>first</li><li>second</li></ul>
</article><script>alert(1)</script><footer>Imprint</footer></body></html>"""


def page(html: str, media_type: str = "text/html") -> Document:
    return read(html.encode(), url=URL, media_type=media_type, charset=None)


def test_an_article_becomes_markdown_with_links_and_tables() -> None:
    assert page(ARTICLE) == Document(
        title="An article & more",
        text=(
            f"# The headline\n\n{SENTENCE * 4} See "
            "[the other one](https://example.com/other?x=1).\n\n"
            "| Name | Price | \n|---|---|\n| Tea | 3 | \n\n- first\n- second"
        ),
    )


@pytest.mark.parametrize(
    ("html", "document"),
    [
        (
            "<html><head><title>T</title></head><body><p>The code is 4711.</p></body></html>",
            Document("T", "The code is 4711."),
        ),
        ("<h1>Only a headline</h1>", Document("Only a headline", "Only a headline")),
        ("<p>just a paragraph</p>", Document(None, "just a paragraph")),
        ("no markup at all", Document(None, "no markup at all")),
        (
            "<html><body><form><label>Only a form</label></form></body></html>",
            Document(None, "Only a form"),
        ),
        ("<html><body>hid\u200bden<p>\u202eback</body></html>", Document(None, "hidden\nback")),
    ],
)
def test_a_page_that_is_no_article_gives_its_text(html: str, document: Document) -> None:
    assert page(html) == document


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/ld+json", "text/plain", "text/csv", "application/atom+xml"],
)
def test_what_is_not_html_is_passed_through(media_type: str) -> None:
    text = '<a>{"key": [1, 2]}</a>\n\n<b>'

    assert page(text, media_type) == Document(None, text)


def test_a_document_without_a_type_is_looked_at() -> None:
    assert page("  <html><title>T</title><body>x</body></html>", "").title == "T"
    assert page('{"a": 1}', "") == Document(None, '{"a": 1}')


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("", "has no text to read: use another source"),
        (" \n ", "has no text to read: use another source"),
        ("<html><body></body></html>", "it may build its content with JavaScript"),
        (
            "<html><body><div id=app></div><script>start()</script></body></html>",
            "it may build its content with JavaScript",
        ),
        ("<!-- only a comment -->", "it may build its content with JavaScript"),
        ("GIF89a\0\0", "is not text but binary data"),
    ],
)
def test_a_page_without_text_says_so(html: str, words: str) -> None:
    with pytest.raises(ToolError) as error:
        page(html)

    assert str(error.value).startswith(URL)
    assert words in str(error.value)


def test_html_is_looked_at_up_to_a_bound_and_the_result_says_so() -> None:
    document = page("<html><body><p>" + "word " * (MAX_HTML_CHARS // 5))

    assert document.is_partial
    assert document.text.startswith("word word word")
    assert len(document.text) < MAX_HTML_CHARS


@pytest.mark.parametrize("html", ["<div>" * 100_000, "<table><tr><td>x" * 20_000, "<p>" * 20_000])
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
        ("image/png", False),
        ("application/pdf", False),
        ("application/octet-stream", False),
        ("application/jsonp", False),
    ],
)
def test_which_types_can_be_read(media_type: str, expected: bool) -> None:
    assert is_readable(media_type) == expected
