"""Cache of converted pages, in memory and optionally in a directory."""

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
    """A converted page, with the validators needed to ask whether it has changed."""

    url: str
    """Final URL, after redirects."""
    status: int
    media_type: str
    document: Document
    read_at: float
    """Unix time in seconds."""
    etag: str | None = None
    last_modified: str | None = None
    may_be_stored: bool = True
    """False if the server sent ``no-store``; the page then stays in memory only."""

    @property
    def num_bytes(self) -> int:
        """Approximate size in memory."""
        document = self.document
        num_names = sum(map(len, document.links)) + sum(
            100 + len(name) for name in document.anchors
        )
        return 2 * len(document.text) + num_names + 1_000


_PAGE = TypeAdapter(Page)


class PageCache:
    """LRU cache of pages by key, with a byte budget.

    The directory has the same budget. File access blocks, so call ``get`` and ``put`` in worker
    threads; they are thread-safe.

    Args:
        fresh_seconds: age up to which a page is used without asking the server.
        max_bytes: budget for memory, and for the directory.
        folder: directory of the files; None: memory only.
        clock: returns Unix time in seconds.
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
        self._lock = threading.Lock()

    def now(self) -> float:
        """Current Unix time in seconds."""
        return self._clock()

    def is_fresh(self, page: Page) -> bool:
        """True if the page can be used without asking the server."""
        return 0 <= self._clock() - page.read_at < self._fresh_seconds

    def is_kept_for_reading(self, page: Page) -> bool:
        """True if a reader of the page's beginning may still be reading it."""
        return self.is_fresh(page) or 0 <= self._clock() - page.read_at < _READING_SECONDS

    def get(self, key: str) -> Page | None:
        """Return the page, whatever its age; None if it is not cached."""
        with self._lock:
            page = self._pages.get(key) or self._load(key)
            if page is not None:
                self._insert(key, page)
            return page

    def put(self, key: str, page: Page) -> None:
        """Cache the page, unless it exceeds the budget by itself."""
        if page.num_bytes > self._max_bytes:
            return
        with self._lock:
            self._insert(key, page)
            if self._folder is not None and page.may_be_stored:
                self._store(self._folder, key, page)

    def _insert(self, key: str, page: Page) -> None:
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
        except (OSError, ValueError):  # damaged, or written by another version
            with suppress(OSError):
                path.unlink()
            return None

    def _store(self, folder: Path, key: str, page: Page) -> None:
        """Write the file. Errors are ignored: they cost a fetch later."""
        path = folder / _file_name(key)
        new = path.with_suffix(".new")
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.write_text(json.dumps(dataclasses.asdict(page)), encoding="utf-8")
            new.replace(path)
            self._evict_files(folder)

    def _evict_files(self, folder: Path) -> None:
        files = [(path.stat(), path) for path in folder.glob("*.json")]
        excess = sum(stat.st_size for stat, _ in files) - self._max_bytes
        for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
            if excess <= 0:
                break
            path.unlink()
            excess -= stat.st_size


def _file_name(key: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()}.json"
