"""Conversion of a web page to a document with Markdown or plain text."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import trafilatura
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]  # has no types

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, Format
from kronk_tools.reading.html.data import head_and_script_data, script_data
from kronk_tools.reading.html.hidden import remove_hidden
from kronk_tools.reading.html.main_content import choose_main_content
from kronk_tools.reading.html.page_metadata import (
    base_url,
    collect_links,
    page_metadata,
    redirect_target,
)
from kronk_tools.reading.markdown.converter import Converter
from kronk_tools.reading.markdown.media import source
from kronk_tools.reading.markdown.writer import write
from kronk_tools.text import clean, one_line

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_HTML_CHARS = 2_000_000
"""HTML beyond this is ignored: reading takes up to 4 s per million characters."""
_MAX_TAG_CHARS = 20_000
_LONG_TAG = re.compile(rf"<[^<>]{{{_MAX_TAG_CHARS},}}>")
"""For a tag with thousands of attributes, libxml2 takes time quadratic in their number."""
_VOID = re.compile(r"<(wbr|source|track|embed|keygen)\b([^<>]{0,5000}?)/?>", re.IGNORECASE)
"""Void elements that libxml2 does not know: it would put all that follows into them."""
_SHELL_CHARS = 200
_SHELL_ROOTS = {"root", "app", "__next", "__nuxt", "___gatsby", "svelte", "q-app", "main-app"}
_INVISIBLE = ("script", "style", "noscript", "template", "head")
_ASKS_FOR_JAVASCRIPT = re.compile(r"java\s?script", re.IGNORECASE)
_MAX_OMITTED = 4
_MAX_LABEL_CHARS = 40
_MIN_OMITTED_CHARS = 8


def read_html(html: str, url: str, format: Format) -> Document:
    """Read a page in the given format (``raw`` is handled by the caller).

    Raises:
        ToolError: the page contains no text.
    """
    tree = _parse(_LONG_TAG.sub("", html[:MAX_HTML_CHARS]))
    if tree is None:
        raise ToolError(f"{url} has no text to read: use another source")
    base = base_url(tree, url)
    links = collect_links(tree, base)
    num_chars, is_shell = _measure_page(tree)
    target = redirect_target(tree, base, url, is_thin=num_chars < _SHELL_CHARS)
    document = page_metadata(tree, url, {target: "", **links} if target else links)
    anchors: dict[str, int] = {}
    notes = [f"This page leads on to {target}"] if target else []
    if len(html) > MAX_HTML_CHARS:
        notes.append(f"Only the first {MAX_HTML_CHARS:,} characters of its HTML were read.")
    if format == "links":
        text = "\n".join(_listed(links)) or "(no links)"
    elif is_shell:
        text = clean(head_and_script_data(tree))
        if text:
            notes.append(
                "The page builds its content with JavaScript, which is not run here. This is what "
                "its head and its data say:"
            )
        elif not target:
            raise ToolError(
                f"{url} builds its content with JavaScript, which is not run here, and has no text "
                "of its own: use another source, or read its data with format=raw"
            )
    else:
        data = clean(script_data(tree)) if num_chars < _SHELL_CHARS else ""
        text, anchors, omitted = _content(tree, url, base, is_markdown=format == "markdown")
        if omitted:
            notes.append(f"Left out as decoration: {', '.join(omitted)}")
        if data:
            notes.append("The page has little text; what its data say stands below it.")
            text = f"{text}\n\n---\n\n{data}" if text else data
    if not text and target:
        text = f"This page leads on to {target}"
    if not text:
        raise ToolError(f"{url} has no text to read: use another source")
    return dataclasses.replace(document, text=text, note=" ".join(notes) or None, anchors=anchors)


def _content(
    tree: HtmlElement, url: str, base: str, *, is_markdown: bool
) -> tuple[str, dict[str, int], list[str]]:
    """Return the text, its anchors, and short labels of the omitted parts."""
    remove_hidden(tree)
    _drop_invisible(tree)
    content = choose_main_content(tree, url)
    blocks = Converter(base, content.skip, is_markdown=is_markdown).blocks(content.root)
    text, anchors = write(blocks, is_markdown=is_markdown)
    labels = (
        one_line(" ".join(element.itertext()), max_chars=1_000) for element in content.omitted
    )
    named = [
        f"“{one_line(label, max_chars=_MAX_LABEL_CHARS)}”"
        for label in labels
        if len(label) >= _MIN_OMITTED_CHARS
    ]
    named = list(dict.fromkeys(named))
    if len(named) > _MAX_OMITTED:
        named = [*named[:_MAX_OMITTED], f"and {len(named) - _MAX_OMITTED} more"]
    return text, anchors, named


def _parse(html: str) -> HtmlElement | None:
    html = _VOID.sub(r"<\1\2></\1>", html)
    tree = trafilatura.load_html(html)
    # trafilatura rejects a fragment without html and body.
    return trafilatura.load_html(f"<html><body>{html}</body></html>") if tree is None else tree


def _drop_invisible(tree: HtmlElement) -> None:
    """Remove scripts and the like, which would count as text; formulas and shadow roots stay."""
    for element in list(tree.iter("script", "style", "noscript", "noframes", "template")):
        if element.tag == "script" and (element.get("type") or "").startswith("math/"):
            continue
        if element.getparent() is None or element.get("shadowrootmode") is not None:
            continue
        if element.tag == "noscript" and _replaces_lazy_image(element):
            element.drop_tag()
        else:
            element.drop_tree()


def _replaces_lazy_image(element: HtmlElement) -> bool:
    """True if it contains the image that the placeholder before it stands for."""
    if element.find(".//img") is None or element.text_content().strip():
        return False
    before = element.getprevious()
    if before is None or before.tag != "img" or source(before):
        return False
    before.drop_tree()
    return True


def _measure_page(tree: HtmlElement) -> tuple[int, bool]:
    """Number of visible characters, and True if the page is an empty shell for a script to fill.

    Walks the page once, without recursion, since pages can be nested hundreds of levels deep.
    """
    num_chars = num_scripts = invisible_depth = 0
    has_root = asks_for_javascript = False
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else "script"
        if event == "start":
            num_scripts += element.tag == "script"
            has_root |= element.get("id") in _SHELL_ROOTS
            if tag == "noscript" and _ASKS_FOR_JAVASCRIPT.search(element.text_content()):
                asks_for_javascript = True
            invisible_depth += tag in _INVISIBLE
            text = element.text
        else:
            invisible_depth -= tag in _INVISIBLE
            text = element.tail
        if text and not invisible_depth:
            num_chars += len("".join(text.split()))
    is_shell = (
        num_chars < _SHELL_CHARS
        and num_scripts > 0
        and (has_root or asks_for_javascript or num_chars == 0)
    )
    return num_chars, is_shell


def _listed(links: dict[str, str]) -> list[str]:
    return [f"- [{words}]({url})" if words else f"- {url}" for url, words in links.items()]
