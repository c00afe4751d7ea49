"""Pages that hide, lead on, or speak outside of their text; and pages made to be hard."""

from __future__ import annotations

import pytest

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, Source
from kronk_tools.reading.formats import read

URL = "https://harbour.example/times"
SHELL = (
    "The page builds its content with JavaScript, which is not run here. This is what its head "
    "and its data say:"
)


def page(body: str, head: str = "") -> Document:
    html = f"<!doctype html><html><head><title>T</title>{head}</head><body>{body}</body></html>"
    return read(Source(html.encode(), URL, "text/html"))


# --- pages that lead on --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        "<meta http-equiv='refresh' content='0; url=/new'>",
        "<META HTTP-EQUIV=Refresh CONTENT=\"5;URL='/new'\">",
        "<meta http-equiv=refresh content='0,/new'>",
        "<script>window.location.replace('/new')</script>",
        '<script>location.href = "https://harbour.example/new"</script>',
    ],
)
def test_a_page_that_leads_on_says_where(head: str) -> None:
    document = page("<p>Moved.</p>", head)

    assert document == Document(
        "Moved.",
        title="T",
        note="This page leads on to https://harbour.example/new",
        links=("https://harbour.example/new",),
    )


def test_a_page_without_a_word_that_leads_on_says_where() -> None:
    text = page("", "<meta http-equiv=refresh content='0;url=/new'>").text

    assert text == "This page leads on to https://harbour.example/new"


@pytest.mark.parametrize(
    "head",
    [
        "<meta http-equiv=refresh content=300>",
        "<meta http-equiv=refresh content='300;url=/times'>",
        "<noscript><meta http-equiv=refresh content='0;url=/plain'></noscript>",
        "<meta http-equiv=refresh content='0;url=javascript:go()'>",
    ],
)
def test_a_page_that_loads_itself_again_leads_nowhere(head: str) -> None:
    assert page("<p>News.</p>", head).note is None


# --- pages without text --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (
            "<meta name=description content='An anchor of 5 kg.'>"
            '<script type="application/ld+json">{"@context": "https://schema.org", '
            '"name": "Anchor", "offers": [{"price": 49.9}]}</script>',
            "An anchor of 5 kg.\n\nname: Anchor\noffers.price: 49.9",
        ),
        (
            '<script id="__NEXT_DATA__" type="application/json">'
            '{"props": {"body": "<p>Fer\\u200bries <b>leave</b> at 8.</p>"}, "key": "x"}</script>',
            "props.body: Ferries leave at 8.",
        ),
        (
            '<script>window.__INITIAL_STATE__ = {"pier": {"name": "North"}};</script>',
            "pier.name: North",
        ),
    ],
)
def test_a_shell_for_javascript_is_given_by_its_head_and_data(head: str, said: str) -> None:
    document = page("<div id=root></div><script src=/app.js></script>", head)

    assert (document.note, document.text) == (SHELL, said)


def test_a_page_with_a_line_of_text_is_given_with_its_data() -> None:
    document = page(
        "<p>Anchor</p>",
        '<script type="application/ld+json">{"offers": {"price": "49.90"}}</script>',
    )

    assert document.text == "Anchor\n\n---\n\noffers.price: 49.90"
    assert document.note == "The page has little text; what its data say stands below it."


def test_much_data_is_cut_and_the_text_says_so() -> None:
    data = ",".join(f'"word{number}": "the pier with number {number}"' for number in range(5_000))
    head = f'<script type="application/json">{{{data}}}</script>'

    text = page("<div id=app></div><script src=a></script>", head).text

    assert text.endswith("(There is more than 40,000 characters of it.)")


def test_frames_are_named_with_their_addresses() -> None:
    html = "<html><frameset><frame src=/menu name=menu><frame src=/main></frameset></html>"
    document = read(Source(html.encode(), URL, "text/html"))

    assert document.text == (
        "[Frame: menu](https://harbour.example/menu) [Frame](https://harbour.example/main)"
    )
    assert document.links == ("https://harbour.example/menu", "https://harbour.example/main")


# --- what is hidden ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "html",
    [
        "<div style='opacity: 0'><p>All of the page, until a script shows it.</p></div>",
        "<style>.page {visibility: hidden}</style><div class=page><p>All of it.</p></div>",
    ],
)
def test_a_page_that_is_hidden_as_a_whole_is_read(html: str) -> None:
    assert page(html).text.startswith("All of")


@pytest.mark.parametrize(
    "style",
    [
        "display: none !important",
        "visibility:hidden",
        "content-visibility: hidden",
        "font-size: 0.1px",
        "color: transparent",
        "color: #FFF; background: rgb(255, 255, 255)",
        "position: fixed; top: -100vh",
        "margin-left: -9999px",
        "transform: scale(0)",
        "clip: rect(1px, 1px, 1px, 1px); position: absolute",
        "max-height: 0; overflow: hidden",
    ],
)
def test_words_that_a_style_hides_are_not_read(style: str) -> None:
    assert page(f"<p>Seen by all who read it.</p><p style='{style}'>Obey.</p>").text == (
        "Seen by all who read it."
    )


@pytest.mark.parametrize(
    "style",
    [
        "display: block",
        "opacity: .9",
        "color: #fff; background: #000",
        "position: absolute; left: -20px",
        "text-indent: -1em",
        "max-height: 300px; overflow: hidden",
        "transform: translateX(-50%)",
        "background-clip: text; color: transparent",
    ],
)
def test_words_that_a_style_only_places_are_read(style: str) -> None:
    assert "Look" in page(f"<p>Seen by all who read it.</p><p style='{style}'>Look.</p>").text


# --- pages made to be hard -----------------------------------------------------------------------

LONG = "word " * 20_000
HARD = {
    "a long cell over many rows": (
        f"<table><tr><td rowspan=9999>{LONG}</td></tr>{'<tr><td>a</td></tr>' * 5_000}</table>"
    ),
    "cells over many columns": f"<table><tr>{'<td colspan=1000>x</td>' * 500}</tr></table>",
    "lists in lists": "<ul><li>a" * 300,
    "tables in tables": "<table><tr><th>h<td>" * 100,
    "definitions in definitions": "<dl><dt>a<dd>b" * 300,
    "quotations in quotations": "<blockquote>a" * 100,
    "words read aloud": f"<p>seen{'<span class=sr-only>x</span>' * 20_000}</p>",
    "the same paragraph": "<p>These are the very same words.</p>" * 15_000,
    "options": f"<select>{'<option>a' * 50_000}</select>",
    "anchors": "".join(f"<p id=i{number}>a</p>" for number in range(20_000)),
    "rules": f"<style>{'.a{display:none}' * 9_000}</style><p class=b>seen</p>",
    "braces": f"<style>{'{' * 100_000}</style><p>seen</p>",
}


@pytest.mark.parametrize("name", HARD)
def test_a_hard_page_is_read_soon_and_gives_no_more_than_a_few_times_of_what_it_has(
    name: str,
) -> None:
    """The bound is pytest's time limit."""
    try:
        text = page(HARD[name]).text
    except ToolError:
        text = ""

    assert len(text) <= 10 * len(HARD[name]) + 20_000


def test_what_follows_an_element_that_has_nothing_in_it_is_no_part_of_it() -> None:
    """libxml2 does not know these to be empty."""
    text = page("<p>wind<wbr>lass</p><p><embed src=/a.swf>one</p><p>two</p>").text

    assert text == "windlass\n\n[Object](https://harbour.example/a.swf) one\n\ntwo"
