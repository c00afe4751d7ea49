"""A web page: parsed, its main content chosen, and written as Markdown or text."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import trafilatura
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]  # has no types

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, Format
from kronk_tools.reading.html.about import about, base_of, leads_on_to, links_of
from kronk_tools.reading.html.data import said_in_data, said_outside_of_text
from kronk_tools.reading.html.main_content import choose
from kronk_tools.reading.html.unseen import remove_unseen
from kronk_tools.reading.markdown.converter import Converter
from kronk_tools.reading.markdown.media import source
from kronk_tools.reading.markdown.writer import write
from kronk_tools.text import clean, one_line

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_HTML_CHARS = 2_000_000
"""HTML beyond this is not looked at: reading takes up to 4 s for each million characters."""
_MAX_TAG_CHARS = 20_000
_LONG_TAG = re.compile(rf"<[^<>]{{{_MAX_TAG_CHARS},}}>")
"""A tag with thousands of attributes costs libxml2 the square of their number."""
_VOID = re.compile(r"<(wbr|source|track|embed|keygen)\b([^<>]{0,5000}?)/?>", re.IGNORECASE)
"""Elements that have nothing in them, which libxml2 does not know of: all that follows would be."""
_SHELL_CHARS = 200
_SHELL_ROOTS = {"root", "app", "__next", "__nuxt", "___gatsby", "svelte", "q-app", "main-app"}
_NEVER_SHOWN = ("script", "style", "noscript", "template", "head")
_ASKS_FOR_JAVASCRIPT = re.compile(r"java\s?script", re.IGNORECASE)
_MAX_LEFT_OUT = 4
_MAX_LABEL_CHARS = 40
_MIN_LEFT_OUT_CHARS = 8


def read_html(html: str, url: str, format: Format) -> Document:
    """The page in the format asked for (``raw`` is none of its business).

    Raises:
        ToolError: it has no text.
    """
    tree = _parse(_LONG_TAG.sub("", html[:MAX_HTML_CHARS]))
    if tree is None:
        raise ToolError(f"{url} has no text to read: use another source")
    base = base_of(tree, url)
    links = links_of(tree, base)
    num_chars, is_shell = _look(tree)
    target = leads_on_to(tree, base, url, is_thin=num_chars < _SHELL_CHARS)
    document = about(tree, url, {target: "", **links} if target else links)
    anchors: dict[str, int] = {}
    notes = [f"This page leads on to {target}"] if target else []
    if len(html) > MAX_HTML_CHARS:
        notes.append(f"Only the first {MAX_HTML_CHARS:,} characters of its HTML were read.")
    if format == "links":
        text = "\n".join(_listed(links)) or "(no links)"
    elif is_shell:
        text = clean(said_outside_of_text(tree))
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
        data = clean(said_in_data(tree)) if num_chars < _SHELL_CHARS else ""
        text, anchors, left_out = _content(tree, url, base, is_markdown=format == "markdown")
        if left_out:
            notes.append(f"Left out as decoration: {', '.join(left_out)}")
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
    """The text, its anchors, and what was left out of it in a few words each."""
    remove_unseen(tree)
    _drop_what_is_never_shown(tree)
    choice = choose(tree, url)
    blocks = Converter(base, choice.skip, is_markdown=is_markdown).blocks(choice.root)
    text, anchors = write(blocks, is_markdown=is_markdown)
    labels = (
        one_line(" ".join(element.itertext()), max_chars=1_000) for element in choice.left_out
    )
    named = [
        f"“{one_line(label, max_chars=_MAX_LABEL_CHARS)}”"
        for label in labels
        if len(label) >= _MIN_LEFT_OUT_CHARS
    ]
    named = list(dict.fromkeys(named))
    if len(named) > _MAX_LEFT_OUT:
        named = [*named[:_MAX_LEFT_OUT], f"and {len(named) - _MAX_LEFT_OUT} more"]
    return text, anchors, named


def _parse(html: str) -> HtmlElement | None:
    html = _VOID.sub(r"<\1\2></\1>", html)
    tree = trafilatura.load_html(html)
    # A bare fragment is refused as not quite HTML.
    return trafilatura.load_html(f"<html><body>{html}</body></html>") if tree is None else tree


def _drop_what_is_never_shown(tree: HtmlElement) -> None:
    """Scripts and the like, which would count as text; formulas and open shadow roots stay."""
    for element in list(tree.iter("script", "style", "noscript", "noframes", "template")):
        if element.tag == "script" and (element.get("type") or "").startswith("math/"):
            continue
        if element.getparent() is None or element.get("shadowrootmode") is not None:
            continue
        if element.tag == "noscript" and _stands_for_a_lazy_image(element):
            element.drop_tag()
        else:
            element.drop_tree()


def _stands_for_a_lazy_image(element: HtmlElement) -> bool:
    """Whether it holds the image for which there is only a placeholder before it."""
    if element.find(".//img") is None or element.text_content().strip():
        return False
    before = element.getprevious()
    if before is None or before.tag != "img" or source(before):
        return False
    before.drop_tree()
    return True


def _look(tree: HtmlElement) -> tuple[int, bool]:
    """How many characters a person sees, and whether the page is a shell for a script to fill.

    One walk over the page, without recursion: pages can be nested hundreds of levels deep.
    """
    num_chars = num_scripts = depth_unseen = 0
    has_root = asks_for_javascript = False
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else "script"
        if event == "start":
            num_scripts += element.tag == "script"
            has_root |= element.get("id") in _SHELL_ROOTS
            if tag == "noscript" and _ASKS_FOR_JAVASCRIPT.search(element.text_content()):
                asks_for_javascript = True
            depth_unseen += tag in _NEVER_SHOWN
            text = element.text
        else:
            depth_unseen -= tag in _NEVER_SHOWN
            text = element.tail
        if text and not depth_unseen:
            num_chars += len("".join(text.split()))
    is_shell = (
        num_chars < _SHELL_CHARS
        and num_scripts > 0
        and (has_root or asks_for_javascript or num_chars == 0)
    )
    return num_chars, is_shell


def _listed(links: dict[str, str]) -> list[str]:
    return [f"- [{words}]({url})" if words else f"- {url}" for url, words in links.items()]
