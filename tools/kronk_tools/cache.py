"""Pages that were read, kept for a while: in memory, and in a folder if there is one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from kronk_tools.reading.document import Document

_READING_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was read, and what a server needs to say whether it has changed."""

    url: str
    """Where it came from in the end, after redirects."""
    status: int
    media_type: str
    document: Document
    read_at: float
    """Seconds since the epoch."""
    etag: str | None = None
    last_modified: str | None = None
    may_be_stored: bool = True
    """False when the server asks that it be kept nowhere; then it stays in memory only."""

    @property
    def num_bytes(self) -> int:
        """About what it takes in memory."""
        document = self.document
        num_names = sum(map(len, document.links)) + sum(
            100 + len(name) for name in document.anchors
        )
        return 2 * len(document.text) + num_names + 1_000


_PAGE = TypeAdapter(Page)


class PageCache:
    """Holds pages by key, the most recently used ones, as many as the budget allows.

    The same budget holds for the folder. Reading and writing its files blocks, so ``get`` and
    ``put`` are for threads, several at a time.
    """

    def __init__(
        self,
        *,
        fresh_seconds: float,
        max_bytes: int,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fresh_seconds = fresh_seconds
        self._max_bytes = max_bytes
        self._folder = folder
        self._clock = clock
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._num_bytes = 0
        self._changing = threading.Lock()

    def now(self) -> float:
        return self._clock()

    def is_fresh(self, page: Page) -> bool:
        """Whether it may stand for the page as it is now."""
        return 0 <= self._clock() - page.read_at < self._fresh_seconds

    def may_be_read_on(self, page: Page) -> bool:
        """Whether who has read its beginning is likely to be still at it."""
        return self.is_fresh(page) or 0 <= self._clock() - page.read_at < _READING_SECONDS

    def get(self, key: str) -> Page | None:
        """The page, however old."""
        with self._changing:
            page = self._pages.get(key) or self._load(key)
            if page is not None:
                self._keep(key, page)
            return page

    def put(self, key: str, page: Page) -> None:
        if page.num_bytes > self._max_bytes:
            return
        with self._changing:
            self._keep(key, page)
            if self._folder is not None and page.may_be_stored:
                self._store(self._folder, key, page)

    def _keep(self, key: str, page: Page) -> None:
        previous = self._pages.pop(key, None)
        self._num_bytes += page.num_bytes - (previous.num_bytes if previous else 0)
        self._pages[key] = page
        while self._num_bytes > self._max_bytes:
            _, oldest = self._pages.popitem(last=False)
            self._num_bytes -= oldest.num_bytes

    # --- the folder ------------------------------------------------------------------------------

    def _load(self, key: str) -> Page | None:
        if self._folder is None:
            return None
        path = self._folder / _file_name(key)
        try:
            return _PAGE.validate_json(path.read_bytes(), strict=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):  # damaged, or of another version
            with suppress(OSError):
                path.unlink()
            return None

    def _store(self, folder: Path, key: str, page: Page) -> None:
        """A folder that is full or cannot be written to costs a fetch later, and nothing now."""
        path = folder / _file_name(key)
        new = path.with_suffix(".new")
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.write_text(json.dumps(dataclasses.asdict(page)), encoding="utf-8")
            new.replace(path)
            self._make_room(folder)

    def _make_room(self, folder: Path) -> None:
        files = [(path.stat(), path) for path in folder.glob("*.json")]
        excess = sum(stat.st_size for stat, _ in files) - self._max_bytes
        for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
            if excess <= 0:
                break
            path.unlink()
            excess -= stat.st_size


def _file_name(key: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()}.json"
