"""Fetches web pages, converts them to text and caches them.

Import on use: httpx2 is heavy.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import anyio
from anyio import to_thread

from kronk_agent.errors import ToolError
from kronk_agent.messages import ImagePart
from kronk_agent.tools import ReportProgress
from kronk_tools.cache import Page, PageCache
from kronk_tools.fetching.address import parse_url
from kronk_tools.fetching.http import CheckUrl, Fetched, Fetcher, HttpStatusError, Validators
from kronk_tools.reading.document import Document, DocumentSource, Format
from kronk_tools.reading.formats import is_image, is_plain, read, with_detected_type
from kronk_tools.reading.process import ReaderPool
from kronk_tools.text import OUTSIDE, one_line

MAX_IMAGE_BYTES = 5_000_000
_MAX_ERROR_CHARS = 500


class FetchedImage:
    """A fetched image and its URL."""

    __slots__ = ("image", "status", "url")

    def __init__(self, url: str, status: int, image: ImagePart) -> None:
        self.url = url
        self.status = status
        self.image = image


FetchResult: TypeAlias = Page | FetchedImage


class Pages:
    """Fetches pages; while a page is read in parts, all parts come from the same version."""

    def __init__(self, *, fetcher: Fetcher, reader: ReaderPool, cache: PageCache) -> None:
        self._fetcher = fetcher
        self._reader = reader
        self._cache = cache

    async def get(
        self,
        url: str,
        format: Format,
        *,
        is_reading_on: bool,
        report: ReportProgress,
        check: CheckUrl,
    ) -> FetchResult:
        """Fetch a page, or return it from the cache.

        Args:
            url: address of the page.
            format: how to convert it.
            is_reading_on: True if an earlier part was read before, so that the rest must match it.
            report: told about the progress.
            check: rejects URLs that must not be fetched, including redirects.

        Raises:
            ToolError: the page cannot be fetched or read; says why and what to do.
        """
        address = str(parse_url(url))
        check(address)
        deadline = anyio.current_time() + self._fetcher.timeout_seconds
        cached = await to_thread.run_sync(self._cache.get, _key(address, format))
        is_usable = self._cache.is_kept_for_reading if is_reading_on else self._cache.is_fresh
        if cached is not None and is_usable(cached):
            check(cached.url)
            return cached
        report(0, 2, f"fetching {address}")
        try:
            fetched = await self._fetcher.get_if_changed(
                address, cached=_validators(cached), check=check
            )
        except HttpStatusError as error:
            raise await self._with_error_text(error, deadline) from error
        if fetched is None:
            assert cached is not None, "only a cached page can be unchanged"
            page = dataclasses.replace(cached, read_at=self._cache.now())
        else:
            source = with_detected_type(
                DocumentSource(
                    fetched.body, fetched.url, fetched.media_type, fetched.charset, format
                )
            )
            fetched = dataclasses.replace(fetched, media_type=source.media_type)
            if is_image(source):
                return _fetched_image(fetched)
            report(1, 2, f"reading {len(fetched.body):,} bytes of {fetched.url}")
            page = self._page(fetched, await self._read(source, deadline))
        for key in {_key(address, format), _key(page.url, format)}:
            await to_thread.run_sync(self._cache.put, key, page)
        return page

    async def _read(self, source: DocumentSource, deadline: float) -> Document:
        if is_plain(source):
            return await to_thread.run_sync(read, source)
        return await self._reader.read(source, deadline=deadline)

    async def _with_error_text(self, error: HttpStatusError, deadline: float) -> HttpStatusError:
        """Add the text of the error page to the error."""
        error_body = error.body
        if error_body is None:
            return error
        source = DocumentSource(
            error_body.body, error_body.url, error_body.media_type, error_body.charset, "text"
        )
        try:
            document = await self._read(with_detected_type(source), deadline)
        except ToolError:  # the error page is not readable
            return error
        error_text = one_line(document.text, max_chars=_MAX_ERROR_CHARS)
        return HttpStatusError(f"{error}. It says {OUTSIDE} {error_text}", status=error.status)

    def _page(self, fetched: Fetched, document: Document) -> Page:
        return Page(
            fetched.url,
            fetched.status,
            fetched.media_type,
            document,
            self._cache.now(),
            fetched.etag,
            fetched.last_modified,
            fetched.may_be_stored,
        )


def _key(address: str, format: Format) -> str:
    return f"{format} {address.partition('#')[0]}"


def _validators(cached: Page | None) -> Validators | None:
    return None if cached is None else Validators(cached.url, cached.etag, cached.last_modified)


def _fetched_image(fetched: Fetched) -> FetchedImage:
    if len(fetched.body) > MAX_IMAGE_BYTES:
        raise ToolError(
            f"{fetched.url} is an image of {len(fetched.body):,} bytes, more than the "
            f"{MAX_IMAGE_BYTES:,} a model can be shown: use a smaller one"
        )
    return FetchedImage(fetched.url, fetched.status, ImagePart(fetched.body, fetched.media_type))
