"""Extracts text from documents that MCP servers send, as ``web_fetch`` does for web pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from kronk_tools.reading.process import ReaderPool

_MAX_SECONDS = 30.0


class DocumentReader:
    """Extracts the text of documents, in processes that are started on first use."""

    def __init__(self) -> None:
        self._reader: ReaderPool | None = None

    async def read(self, body: bytes, media_type: str, url: str) -> str:
        """Return the text of a document.

        Raises:
            ToolError: the document has no text, or reading takes more than 30 s.
        """
        from kronk_tools.reading.document import DocumentSource
        from kronk_tools.reading.process import ReaderPool

        self._reader = self._reader or ReaderPool()
        deadline = anyio.current_time() + _MAX_SECONDS
        document = await self._reader.read(DocumentSource(body, url, media_type), deadline=deadline)
        return f"{document.text}\n{document.note}" if document.note else document.text
