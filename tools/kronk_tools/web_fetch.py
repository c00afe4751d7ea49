"""``web_fetch``: reads a web page in parts, or the passages that contain given words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import Field

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject, JsonValue, TextPart
from kronk_agent.tools import RunContext, Tool, ToolContext, ToolOutput, tool
from kronk_tools.cache import Page, PageCache
from kronk_tools.fetching.address_guard import AddressGuard, Network
from kronk_tools.passages import count_matches, find_passages, fitting_passages, section_start
from kronk_tools.reading.document import Document, Format
from kronk_tools.reading.formats import is_readable
from kronk_tools.reading.process import ReaderPool
from kronk_tools.schemas import FETCH_RESULT
from kronk_tools.text import end_of_tokens, one_line, outside, part_end

if TYPE_CHECKING:
    from kronk_tools.pages import FetchedImage, Pages

logger = logging.getLogger(__name__)

UrlPolicy: TypeAlias = Literal["prior_context", "any"]
"""URLs that may be fetched in a run: only URLs that appeared in the conversation, or any."""

_HEADINGS: dict[Format, str] = {"links": "Links"}
_ROBOTS_SECONDS = 10.0


def web_fetch_tool(
    *,
    timeout_seconds: float = 30.0,
    max_bytes: int = 10_000_000,
    url_policy: UrlPolicy = "prior_context",
    robots: bool = True,
    requests_per_host: int = 2,
    delay_seconds: float = 0.5,
    cache_seconds: float = 300.0,
    cache_bytes: int = 50_000_000,
    cache_dir: Path | None = None,
    allow_private: Sequence[Network] = (),
    allow_ports: Sequence[int] = (),
    proxy: str | None = None,
    reader: ReaderPool | None = None,
) -> Tool:
    """Create the tool ``web_fetch``; parameters as in ``web_fetch:`` of the configuration.

    Args:
        reader: reader processes to share with other tools; None: the tool uses its own.
    """
    if proxy is not None:
        logger.warning("web_fetch uses a proxy, which has to check the addresses itself")
    cache = PageCache(fresh_seconds=cache_seconds, max_bytes=cache_bytes, folder=cache_dir)
    pages = _lazy(
        lambda: _open_pages(
            guard=AddressGuard(tuple(allow_private), allow_ports=tuple(allow_ports)),
            timeout_seconds=timeout_seconds,
            max_bytes=max_bytes,
            robots=robots,
            requests_per_host=requests_per_host,
            delay_seconds=delay_seconds,
            proxy=proxy,
            cache=cache,
            reader=reader or ReaderPool(),
        )
    )

    # The agent's time limit is longer, so that the tool's own error says what took so long.
    @tool(timeout_seconds=timeout_seconds + 5)
    async def web_fetch(
        url: str,
        context: ToolContext,
        start: Annotated[int, Field(ge=0)] = 0,
        max_tokens: Annotated[int, Field(ge=100, le=20_000)] = 2_000,
        find: Annotated[str, Field(min_length=1, max_length=200)] | None = None,
        format: Format = "markdown",
    ) -> ToolOutput:
        """Read a web page, PDF, feed, text or image on the web. Long ones come in parts.

        Args:
            url: The page's address, copied exactly, such as http://localhost/page.
            start: Only to read on: the number given at the end of the part before.
            max_tokens: About how much to read at once.
            find: Only the passages in which these words stand together, if there are any.
            format: The main content as markdown or text, the raw source, or the page's links.
        """
        run = context.run
        if run is not None:
            url = _permitted(run, url, url_policy)
        found = await pages().get(
            url,
            format,
            is_reading_on=start > 0 or find is not None,
            report=context.report_progress,
            check=partial(_check, context),
        )
        number = None if run is None else run.cite(found.url, _title(found))
        if not isinstance(found, Page):
            return _image_output(found, number)
        if find is None:
            fragment = urlsplit(url).fragment or urlsplit(found.url).fragment
            output, text = _part(found, number, format, start, max_tokens, fragment=fragment)
        else:
            output, text = _passages(found, number, format, find, start, max_tokens)
        if run is not None:
            _record_page(run, found, text)
        return output

    return replace(
        web_fetch,
        output_schema=FETCH_RESULT,
        annotations={"title": "Read a web page", "readOnlyHint": True, "openWorldHint": True},
    )


def _lazy(create: Callable[[], Pages]) -> Callable[[], Pages]:
    """Create the object on the first call, since its imports are heavy."""
    created: list[Pages] = []

    def get() -> Pages:
        """Return the object, creating it if necessary."""
        if not created:
            created.append(create())
        return created[0]

    return get


def _open_pages(
    *,
    guard: AddressGuard,
    timeout_seconds: float,
    max_bytes: int,
    robots: bool,
    requests_per_host: int,
    delay_seconds: float,
    proxy: str | None,
    cache: PageCache,
    reader: ReaderPool,
) -> Pages:
    from kronk_tools.fetching.host_limiter import HostLimiter
    from kronk_tools.fetching.http import Fetcher  # heavy: 140 ms
    from kronk_tools.fetching.robots import MAX_ROBOTS_BYTES, Robots
    from kronk_tools.pages import Pages

    limiter = HostLimiter(max_at_once=requests_per_host, delay_seconds=delay_seconds)
    rules = Fetcher(
        guard=guard,
        timeout_seconds=min(_ROBOTS_SECONDS, timeout_seconds),
        max_bytes=MAX_ROBOTS_BYTES,
        accepts=lambda _: True,
        proxy=proxy,
    )
    fetcher = Fetcher(
        guard=guard,
        timeout_seconds=timeout_seconds,
        max_bytes=max_bytes,
        accepts=is_readable,
        limiter=limiter,
        permit=Robots(rules) if robots else None,
        proxy=proxy,
    )
    return Pages(fetcher=fetcher, reader=reader, cache=cache)


# --- the run -------------------------------------------------------------------------------------


def _permitted(run: RunContext, url: str, policy: UrlPolicy) -> str:
    """Return the URL in the spelling that the conversation has.

    Raises:
        ToolError: the URL is not in the conversation, and the policy requires it.
    """
    from kronk_tools.prior import (  # httpx2 is heavy
        prior_spelling,
        record_conversation,
        url_not_in_context,
    )

    record_conversation(run)
    spelling = prior_spelling(run, url)
    if spelling is None and policy == "prior_context":
        raise url_not_in_context()
    return spelling or url


def _check(context: ToolContext, url: str) -> None:
    """Apply the tool's policy to a URL that is about to be fetched.

    Raises:
        ToolError: the policy does not allow it. The model may then request it, so that the user is
            asked.
    """
    try:
        context.check_policy("url", url)
    except ToolError:
        if context.run is not None:
            from kronk_tools.prior import record_urls  # httpx2 is heavy

            record_urls(context.run, [url])
        raise


def _record_page(run: RunContext, page: Page, text: str) -> None:
    """Allow the URLs on the page to be fetched next."""
    from kronk_tools.fetching.address import find_urls
    from kronk_tools.prior import record_urls

    record_urls(run, [page.url, page.document.canonical_url, *page.document.links])
    record_urls(run, find_urls(text))


def _title(found: Page | FetchedImage) -> str | None:
    return found.document.title if isinstance(found, Page) else None


# --- what the model reads ------------------------------------------------------------------------


def _part(
    page: Page,
    number: int | None,
    format: Format,
    start: int,
    max_tokens: int,
    *,
    fragment: str = "",
    notes: Sequence[str] = (),
) -> tuple[ToolOutput, str]:
    """Return a part of the page below the notes, and the part's text alone."""
    text = page.document.text
    total = len(text)
    if start == 0 and fragment and format in ("markdown", "text"):
        start, where = _section(page.document, fragment)
        notes = [*notes, where] if where else notes
    if start >= total:
        raise ToolError(f"start={start} is past the end: {page.url} has {total} characters")
    furthest = end_of_tokens(text, start, max_tokens=max_tokens)
    end = part_end(text, start, max_chars=furthest - start)
    part = text[start:end].rstrip()
    lines = [*_head(page, number, _HEADINGS.get(format, "Content")), *notes]
    lines += ["", part]
    if end < total:
        lines += [
            "",
            f"[Characters {start} to {end} of {total}. To read on, call web_fetch with the same "
            f"url and start={end}]",
        ]
    facts: JsonObject = {"start": start, "end": end, "next_start": end if end < total else None}
    return ToolOutput((TextPart("\n".join(lines)),), _structured(page, number, facts)), part


def _section(document: Document, fragment: str) -> tuple[int, str]:
    """Position of a URL fragment, and a line that says so."""
    shown = one_line(unquote(fragment), max_chars=100)
    start = section_start(document.text, document.anchors, fragment)
    if start is None:
        return 0, f"(#{shown} is not in the text. This is its beginning:)"
    if start == 0:
        return 0, ""
    return start, (
        f"(This begins at #{shown}, character {start} of {len(document.text)}. To read what is "
        "before, call web_fetch with the address without #.)"
    )


def _passages(
    page: Page, number: int | None, format: Format, find: str, start: int, max_tokens: int
) -> tuple[ToolOutput, str]:
    """Return the passages, and their text alone; without matches, the page from ``start`` on."""
    text = page.document.text
    passages = find_passages(text, find, start=start)
    if not passages:
        where = "there" if start == 0 else f"there from character {start} on"
        note = f"({one_line(find, max_chars=200)!r} is not {where}. This is the text itself:)"
        return _part(page, number, format, start, max_tokens, notes=[note])
    shown = fitting_passages(text, passages, max_tokens=max_tokens)
    next_start = shown[-1].end if len(shown) < len(passages) else None
    lines = _head(page, number, "Passages")
    found: list[JsonValue] = []
    for passage in shown:
        passage_text = text[passage.start : passage.end].strip()
        lines += ["", f"[Characters {passage.start} to {passage.end} of {len(text)}]", passage_text]
        found.append({"start": passage.start, "end": passage.end, "text": passage_text})
    if next_start is not None:
        lines += ["", f"[There are more. Call web_fetch with the same find and start={next_start}]"]
    facts: JsonObject = {
        "start": start,
        "end": shown[-1].end,
        "next_start": next_start,
        "num_matches": count_matches(text, find),
        "passages": found,
    }
    output = ToolOutput((TextPart("\n".join(lines)),), _structured(page, number, facts))
    return output, "\n".join(text[passage.start : passage.end] for passage in shown)


def _image_output(picture: FetchedImage, number: int | None) -> ToolOutput:
    what = outside(f"{_label(number)}Content of {picture.url}")
    kind = picture.image.media_type
    return ToolOutput(
        (TextPart(f"{what}\n\n({kind}, {len(picture.image.data):,} bytes)"), picture.image),
        {"url": picture.url, "status": picture.status, "media_type": kind, "source": number},
    )


def _head(page: Page, number: int | None, what: str) -> list[str]:
    document = page.document
    lines = [outside(f"{_label(number)}{what} of {page.url}")]
    named = {"Title": document.title, "Date": document.date, "Author": document.author}
    lines += [f"{name}: {value}" for name, value in named.items() if value]
    if document.note:
        lines.append(f"({document.note})")
    return lines


def _label(number: int | None) -> str:
    return "" if number is None else f"[{number}] "


def _structured(page: Page, number: int | None, facts: JsonObject) -> JsonObject:
    document = page.document
    return {
        "url": page.url,
        "title": document.title,
        "date": document.date,
        "author": document.author,
        "language": document.language,
        "canonical_url": document.canonical_url,
        "status": page.status,
        "media_type": page.media_type,
        "source": number,
        "total_chars": len(document.text),
        **facts,
    }
