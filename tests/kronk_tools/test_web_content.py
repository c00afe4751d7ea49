"""Every kind of content, in pages of every length and shape, comes out the same."""

from __future__ import annotations

import pytest
from web_content import AFTER, BEFORE, DECORATION, FRAMES, URL, Kind, between, kinds

from kronk_tools.reading.document import Document, DocumentSource, Format
from kronk_tools.reading.formats import read

KINDS = kinds()


def page(html: str, format: Format = "markdown") -> Document:
    return read(DocumentSource(html.encode(), URL, "text/html", format=format))


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_stands_in_an_article_stands_in_the_markdown(kind: Kind, frame: str) -> None:
    assert between(page(FRAMES[frame](kind.html)).text) == kind.expected


@pytest.mark.parametrize("frame", ["article", "site"])
def test_what_stands_around_an_article_stays_out(frame: str) -> None:
    text = page(FRAMES[frame]("<p>One more word.</p>")).text

    assert [words for words in DECORATION if words in text] == []


def test_what_is_left_out_at_the_edge_of_an_article_is_named() -> None:
    html = FRAMES["site"]("").replace(
        "</article>",
        '<div class="related"><a href="/1">The lamp</a> <a href="/2">The mole</a></div></article>',
    )

    document = page(html)

    assert "The lamp" not in document.text
    assert document.note == "Left out as decoration: “Share Send”, “The lamp The mole”"


def test_as_text_the_same_content_has_no_signs() -> None:
    html = (
        f"<p>{BEFORE}</p><h2>Boats</h2><p><b>Two</b> <a href='/b'>boats</a>:</p><ol start='4'><li>"
        "Selma</li></ol><table><tr><th>Boat</th><th>Berth</th></tr><tr><td>Selma</td><td><img "
        "src='/4.png' alt='four'></td></tr></table><pre>cast off\n  fore</pre><blockquote>So."
        f"</blockquote><p>{AFTER}</p>"
    )

    assert between(page(html, format="text").text) == (
        "Boats\n\nTwo boats:\n\n4. Selma\n\nBoat | Berth\nSelma | four\n\ncast off\n  fore\n\nSo."
    )


def test_sections_of_an_article_beside_the_longest_one_are_read() -> None:
    prose = "<p>The keepers light the lamp an hour before the sun goes down, every day.</p>" * 20
    html = (
        "<html><body><nav><a href='/'>Home</a></nav><article><h1>Times</h1><div class='lead'>"
        "<p>What the clerk of the harbour told us about the boats, the piers and the fares in the "
        f"year that is over now, in a few words.</p></div><div class='text'>{prose}</div>"
        "<h2>Fares</h2><table><tr><th>Boat</th></tr><tr><td>Selma</td></tr></table>"
        "<div><pre>cast off</pre></div></article></body></html>"
    )

    text = page(html).text

    assert text.startswith("# Times\n\nWhat the clerk")
    assert text.endswith("## Fares\n\n| Boat |\n|---|\n| Selma |\n\n```\ncast off\n```")
