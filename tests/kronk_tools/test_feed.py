from __future__ import annotations

import pytest

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, DocumentSource
from kronk_tools.reading.formats import read

URL = "https://example.com/feeds/news.xml"
RSS = """<?xml version="1.0"?>
<!-- made by hand -->
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>
<title>News &amp; more</title><link>https://example.com/</link><language>en-gb</language>
<item><title>First</title><link>/1?a=b&amp;c=d</link>
<pubDate>Mon, 02 Feb 2026 10:00:00 GMT</pubDate><dc:creator>Ada</dc:creator>
<description>&lt;p&gt;Some &lt;b&gt;bold\u202e&lt;/b&gt; words&lt;/p&gt;</description></item>
<item><description>Only words</description></item>
<item><title>Script</title><link>javascript:alert(1)</link></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de"><title>Neues</title>
<updated>2026-03-04T05:06:07Z</updated><author><name>Grace</name></author>
<link rel="self" href="https://example.com/atom.xml"/><link href="https://example.com/"/>
<entry><title type="html">Eins</title>
<link rel="edit" href="/edit/1"/><link rel="alternate" href="/1"/>
<published>2026-03-03T00:00:00Z</published><summary>Kurz.</summary></entry></feed>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns="http://purl.org/rss/1.0/">
<channel><title>Old</title></channel><item><title>One</title><link>https://example.com/1</link></item>
</rdf:RDF>"""


def feed(text: str, media_type: str = "application/rss+xml") -> Document:
    return read(DocumentSource(text.encode(), URL, media_type))


@pytest.mark.parametrize("media_type", ["application/rss+xml", "text/xml", "application/xml", ""])
def test_an_rss_feed_becomes_a_list_of_its_entries(media_type: str) -> None:
    assert feed(RSS, media_type) == Document(
        "- [First](https://example.com/1?a=b&c=d)\n"
        "  2026-02-02, Ada\n"
        "  Some bold words\n\n"
        "- (no title)\n"
        "  Only words\n\n"
        "- Script",
        title="News & more",
        language="en-gb",
        canonical_url="https://example.com/",
        links=("https://example.com/1?a=b&c=d",),
    )


def test_an_atom_feed_becomes_a_list_of_its_entries() -> None:
    assert feed(ATOM, "application/atom+xml") == Document(
        "- [Eins](https://example.com/1)\n  2026-03-03\n  Kurz.",
        title="Neues",
        date="2026-03-04",
        author="Grace",
        language="de",
        canonical_url="https://example.com/",
        links=("https://example.com/1",),
    )


def test_an_rdf_feed_becomes_a_list_of_its_entries() -> None:
    document = feed(RDF)

    assert (document.title, document.text) == ("Old", "- [One](https://example.com/1)")


def test_of_a_long_feed_the_first_entries_are_listed_and_the_note_says_so() -> None:
    items = "".join(f"<item><title>{number}</title></item>" for number in range(250))

    document = feed(f"<rss><channel>{items}</channel></rss>")

    assert document.note == "Only the first 200 of its 250 entries are listed."
    assert document.text.endswith("- 199")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<rss><channel></channel></rss>", "(the feed has no entries)"),
        ("<rss><channel><item><title>cut of", "- cut of"),
        (
            "<!DOCTYPE rss [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><rss><item><title>a&x;b"
            "</title></item></rss>",
            "- a&x;b",
        ),
    ],
)
def test_a_feed_that_is_odd_is_read_as_far_as_it_goes(text: str, expected: str) -> None:
    assert feed(text).text == expected


def test_entities_that_multiply_do_not() -> None:
    bomb = (
        "<!ENTITY a '"
        + "x" * 1000
        + "'>"
        + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(8))
    )

    document = feed(f"<!DOCTYPE rss [{bomb}]><rss><item><title>t&i;</title></item></rss>")

    assert len(document.text) < 2_000


def test_xml_that_is_no_feed_is_passed_through() -> None:
    assert feed("<note>rss</note>", "application/xml").text == "<note>rss</note>"
    with pytest.raises(ToolError, match="has no text to read"):
        feed("", "application/xml")
