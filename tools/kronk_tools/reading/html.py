"""HTML to Markdown: the main content, or the whole page where it has none to tell apart.

Import it on use: trafilatura is heavy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import html_to_markdown
import trafilatura
from trafilatura.metadata import extract_metadata

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import MAX_LINKS, Document, Format
from kronk_tools.text import clean, one_line

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_HTML_CHARS = 2_000_000
"""HTML beyond this is not looked at: extraction takes up to 4 s for each million characters."""
MAX_ELEMENTS = 40_000
"""With more, telling the main content apart takes too long, and the page is given whole."""
_MAX_TAG_CHARS = 20_000
_LONG_TAG = re.compile(rf"<[^<>]{{{_MAX_TAG_CHARS},}}>")
"""A tag with thousands of attributes costs libxml2 the square of their number."""
_MAX_TITLE_CHARS = 200
_THIN_CHARS = 250
"""Main content below this is often a part of it: trafilatura leaves links and tables out."""
_LIST_PROSE_CHARS = 300
"""A page with less text than this outside of its links is a list of them."""
_SHELL_CHARS = 200
_SHELL_ROOTS = {"root", "app", "__next", "__nuxt", "___gatsby", "svelte", "q-app", "main-app"}
_UNSEEN = ("script", "style", "noscript", "template", "head", "svg", "iframe")
_ASKS_FOR_JAVASCRIPT = re.compile(r"java\s?script", re.IGNORECASE)


def read_html(html: str, url: str, format: Format) -> Document:
    """The page in the format asked for (``raw`` is none of its business).

    Raises:
        ToolError: it has no text.
    """
    tree = _parse(_LONG_TAG.sub("", html[:MAX_HTML_CHARS]))
    if tree is None:
        raise ToolError(f"{url} has no text to read: use another source")
    base = _base(tree, url)
    size = _measure(tree)
    links = _links(tree, base)
    about = _about(tree, url, links)
    if format == "links":
        return _with_text(about, "\n".join(_listed(links)) or "(no links)", html)
    if size.is_shell:
        raise ToolError(
            f"{url} builds its content with JavaScript, which is not run here, and has no text "
            "of its own: use another source, or read its data with format=raw"
        )
    text = clean(_content(tree, html, base, size, format))
    if not text:
        raise ToolError(f"{url} has no text to read: use another source")
    return _with_text(about, text, html)


# --- the text ------------------------------------------------------------------------------------


def _content(tree: HtmlElement, html: str, base: str, size: _Size, format: Format) -> str:
    if size.num_elements <= MAX_ELEMENTS and not size.is_link_list:
        for favor_recall in (False, True):
            text = _main(tree, base, format, favor_recall=favor_recall)
            if len(text) >= _THIN_CHARS:
                return text
    return _whole(html, base, format) or trafilatura.html2txt(tree)


def _main(tree: HtmlElement, base: str, format: Format, *, favor_recall: bool) -> str:
    is_markdown = format == "markdown"
    text = trafilatura.extract(
        tree,
        url=base,
        favor_recall=favor_recall,
        output_format="markdown" if is_markdown else "txt",
        include_formatting=is_markdown,
        include_links=is_markdown,
        include_tables=True,
        include_comments=False,
    )
    return text or ""


def _whole(html: str, base: str, format: Format) -> str:
    """Everything a person sees on the page."""
    converted = html_to_markdown.convert(
        _LONG_TAG.sub("", html[:MAX_HTML_CHARS]),
        html_to_markdown.ConversionOptions(
            extract_metadata=False,
            skip_images=True,
            base_url=base,
            autolinks=False,
            output_format="markdown" if format == "markdown" else "plain",
        ),
    )
    return converted.content or ""


def _parse(html: str) -> HtmlElement | None:
    tree = trafilatura.load_html(html)
    # A bare fragment is refused as not quite HTML.
    return trafilatura.load_html(f"<html><body>{html}</body></html>") if tree is None else tree


# --- what is known of the page -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Size:
    num_elements: int
    num_chars: int
    """Of the visible text, without blanks."""
    num_link_chars: int
    is_shell: bool

    @property
    def is_link_list(self) -> bool:
        """There is hardly anything but links, which trafilatura would leave out."""
        num_prose_chars = self.num_chars - self.num_link_chars
        return num_prose_chars < min(_LIST_PROSE_CHARS, self.num_link_chars)


def _measure(tree: HtmlElement) -> _Size:
    """One walk over the page, without recursion: pages can be nested thousands of levels deep."""
    num_elements = num_chars = num_link_chars = num_scripts = 0
    has_root = asks_for_javascript = False
    depth_unseen = depth_link = 0
    from lxml.etree import iterwalk  # with trafilatura, so it is there

    for event, element in iterwalk(tree, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else "script"
        if event == "start":
            num_elements += 1
            num_scripts += tag == "script" and element.tag == "script"
            has_root |= element.get("id") in _SHELL_ROOTS
            if tag == "noscript" and _ASKS_FOR_JAVASCRIPT.search(element.text_content()):
                asks_for_javascript = True
            depth_unseen += tag in _UNSEEN
            depth_link += tag == "a"
            text = element.text
        else:
            depth_unseen -= tag in _UNSEEN
            depth_link -= tag == "a"
            text = element.tail
        if text and not depth_unseen:
            num_seen = len("".join(text.split()))
            num_chars += num_seen
            num_link_chars += num_seen if depth_link else 0
    is_shell = (
        num_chars < _SHELL_CHARS
        and num_scripts > 0
        and (has_root or asks_for_javascript or num_chars == 0)
    )
    return _Size(num_elements, num_chars, num_link_chars, is_shell)


def _about(tree: HtmlElement, url: str, links: dict[str, str]) -> Document:
    found = extract_metadata(tree, url, extensive=False)
    canonical = tree.xpath("string(//link[@rel='canonical']/@href)")
    return Document(
        text="",
        title=_title(tree),
        date=found.date,
        author=_optional(found.author),
        language=_optional(
            tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang")
        ),
        canonical_url=_optional(_joined(url, canonical)) if canonical else None,
        links=tuple(links),
    )


def _with_text(about: Document, text: str, html: str) -> Document:
    note = None
    if len(html) > MAX_HTML_CHARS:
        note = f"Only the first {MAX_HTML_CHARS:,} characters of its HTML were read."
    return Document(
        text,
        about.title,
        about.date,
        about.author,
        about.language,
        about.canonical_url,
        note,
        about.links,
    )


def _title(tree: HtmlElement) -> str | None:
    for path in (".//head/title", ".//h1"):
        element = tree.find(path)
        title = _optional(None if element is None else element.text_content())
        if title:
            return title
    return None


def _optional(text: str | None) -> str | None:
    return one_line(text or "", max_chars=_MAX_TITLE_CHARS) or None


def _base(tree: HtmlElement, url: str) -> str:
    """What relative links of the page are relative to."""
    return _joined(url, tree.xpath("string(//base/@href)")) or url


def _links(tree: HtmlElement, base: str) -> dict[str, str]:
    """What the page links to, each once in order, with the words of the link."""
    links: dict[str, str] = {}
    for element in tree.iter("a"):
        href = element.get("href", "").strip()
        if not href or href.startswith("#"):
            continue
        target = _joined(base, href).partition("#")[0]
        words = one_line(element.text_content(), max_chars=_MAX_TITLE_CHARS)
        if target.startswith(("http://", "https://")) and not links.get(target):
            links[target] = words
        if len(links) >= MAX_LINKS:
            break
    return links


def _listed(links: dict[str, str]) -> list[str]:
    return [f"- [{words}]({url})" if words else f"- {url}" for url, words in links.items()]


def _joined(base: str, target: str) -> str:
    try:
        return clean(urljoin(base, target.strip())).replace(" ", "%20")
    except ValueError:  # an impossible port or address
        return ""
