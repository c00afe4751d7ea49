"""Pages of the web: fetched, read, and kept for a while.

Import it on use: httpx2 is heavy.
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
from kronk_tools.fetching.http import CheckUrl, Fetched, Fetcher, RefusedByServer, Validators
from kronk_tools.reading.document import Document, Format, Source
from kronk_tools.reading.formats import is_image, is_plain, read, recognized
from kronk_tools.reading.process import Reader
from kronk_tools.text import OUTSIDE, one_line

MAX_IMAGE_BYTES = 5_000_000
_MAX_ERROR_CHARS = 500


class Picture:
    """An image and where it came from."""

    __slots__ = ("image", "status", "url")

    def __init__(self, url: str, status: int, image: ImagePart) -> None:
        self.url = url
        self.status = status
        self.image = image


Found: TypeAlias = Page | Picture


class Pages:
    """Gets pages, and the same page the same for as long as it is being read."""

    def __init__(self, *, fetcher: Fetcher, reader: Reader, cache: PageCache) -> None:
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
    ) -> Found:
        """The page at the URL.

        Args:
            is_reading_on: the beginning was read before, so that the rest must be of the same.
            check: refuses addresses that must not be fetched, redirects too.

        Raises:
            ToolError: there is none to be had; says why and what would do.
        """
        address = str(parse_url(url))
        check(address)
        deadline = anyio.current_time() + self._fetcher.timeout_seconds
        known = await to_thread.run_sync(self._cache.get, _key(address, format))
        is_enough = self._cache.may_be_read_on if is_reading_on else self._cache.is_fresh
        if known is not None and is_enough(known):
            check(known.url)
            return known
        report(0, 2, f"fetching {address}")
        try:
            fetched = await self._fetcher.get_if_changed(
                address, known=_validators(known), check=check
            )
        except RefusedByServer as error:
            raise await self._with_words(error, deadline) from error
        if fetched is None:
            assert known is not None, "only what is known can be unchanged"
            page = dataclasses.replace(known, read_at=self._cache.now())
        else:
            source = recognized(
                Source(fetched.body, fetched.url, fetched.media_type, fetched.charset, format)
            )
            fetched = dataclasses.replace(fetched, media_type=source.media_type)
            if is_image(source):
                return _picture(fetched)
            report(1, 2, f"reading {len(fetched.body):,} bytes of {fetched.url}")
            page = self._page(fetched, await self._read(source, deadline))
        for key in {_key(address, format), _key(page.url, format)}:
            await to_thread.run_sync(self._cache.put, key, page)
        return page

    async def _read(self, source: Source, deadline: float) -> Document:
        if is_plain(source):
            return await to_thread.run_sync(read, source)
        return await self._reader.read(source, deadline=deadline)

    async def _with_words(self, error: RefusedByServer, deadline: float) -> RefusedByServer:
        """The refusal with what the server says beside its status."""
        answer = error.body
        if answer is None:
            return error
        source = Source(answer.body, answer.url, answer.media_type, answer.charset, "text")
        try:
            document = await self._read(recognized(source), deadline)
        except ToolError:  # nothing that can be read
            return error
        words = one_line(document.text, max_chars=_MAX_ERROR_CHARS)
        return RefusedByServer(f"{error}. It says {OUTSIDE} {words}", status=error.status)

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


def _validators(known: Page | None) -> Validators | None:
    return None if known is None else Validators(known.url, known.etag, known.last_modified)


def _picture(fetched: Fetched) -> Picture:
    if len(fetched.body) > MAX_IMAGE_BYTES:
        raise ToolError(
            f"{fetched.url} is an image of {len(fetched.body):,} bytes, more than the "
            f"{MAX_IMAGE_BYTES:,} a model can be shown: use a smaller one"
        )
    return Picture(fetched.url, fetched.status, ImagePart(fetched.body, fetched.media_type))
