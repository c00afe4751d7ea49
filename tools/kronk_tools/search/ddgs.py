"""Public search engines through the package ddgs, without a key.

Engines that suspect automated clients reject them for a while without saying so: ddgs then returns
no results, as if none existed. Therefore an empty result is retried once after a pause, and
requests are rate limited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from anyio import to_thread

from kronk_agent.errors import ToolError
from kronk_agent.redaction import Redactor, secrets_in_url
from kronk_tools.search import SearchQuery, SearchResult
from kronk_tools.search.pace import TokenBucket
from kronk_tools.text import one_line

BACKENDS = ("duckduckgo", "brave", "mojeek", "startpage")
_NOTHING_FOUND = "No results found."
_NUM_TRIES = 2
_BURST = 4
_SECONDS_PER_SEARCH = 2.0


def _bucket() -> TokenBucket:
    return TokenBucket(burst=_BURST, seconds_per_token=_SECONDS_PER_SEARCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class DdgsSearch:
    """Queries several engines at once and merges their results."""

    backends: tuple[str, ...] = BACKENDS
    """Engines, by ddgs's names for them."""
    engine_timeout_seconds: int = 5
    """Timeout of one engine; they are queried in two or three rounds."""
    retry_seconds: float = 2.0
    """Longest pause before the second try; the actual pause is random."""
    proxy: str | None = field(default=None, repr=False)
    bucket: TokenBucket = field(default_factory=_bucket, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Display name, with the engines."""
        return f"ddgs ({', '.join(self.backends)})"

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages; see ``SearchProvider.search``."""
        from tenacity import (
            AsyncRetrying,
            RetryCallState,
            retry_if_exception_type,
            retry_if_result,
            stop_after_attempt,
            wait_random_exponential,
        )

        await to_thread.run_sync(self._check_backends)

        def last_outcome(state: RetryCallState) -> list[SearchResult]:
            """Return the last result, or raise the last error."""
            assert state.outcome is not None, "it was tried"
            found: list[SearchResult] = state.outcome.result()
            return found

        retrying = AsyncRetrying(
            stop=stop_after_attempt(_NUM_TRIES),
            wait=wait_random_exponential(multiplier=self.retry_seconds, max=self.retry_seconds),
            retry=retry_if_exception_type(ToolError) | retry_if_result(lambda found: not found),
            retry_error_callback=last_outcome,
        )
        return await retrying(self._search_once, query)

    async def _search_once(self, query: SearchQuery) -> list[SearchResult]:
        await self.bucket.take()
        # ddgs cannot be cancelled; its own timeouts end the abandoned thread.
        return await to_thread.run_sync(self._search, query, abandon_on_cancel=True)

    def _check_backends(self) -> None:
        """Check the engines: ddgs ignores unknown names, and if none remains queries all it has."""
        from ddgs.engines import ENGINES  # heavy: 100 ms

        known = sorted(ENGINES["text"])
        unknown = [backend for backend in self.backends if backend not in known]
        if unknown:
            raise ToolError(
                f"the backends in the setting web_search.providers name {', '.join(unknown)}, "
                f"which ddgs does not have: it has {', '.join(known)}"
            )

    def _search(self, query: SearchQuery) -> list[SearchResult]:
        from ddgs import DDGS
        from ddgs.exceptions import DDGSException

        try:
            # A new DDGS per search, since it keeps state.
            found = DDGS(proxy=self.proxy, timeout=self.engine_timeout_seconds).text(
                query.with_operators,
                region=query.region,
                timelimit=query.freshness[0] if query.freshness else None,
                max_results=query.max_results,
                page=query.page,
                backend=",".join(self.backends),
            )
        except DDGSException as error:
            if str(error) == _NOTHING_FOUND:
                return []
            redact = Redactor(secrets_in_url(self.proxy))
            raise ToolError(one_line(redact(str(error)), max_chars=200)) from error
        return [SearchResult(page["title"], page["href"], page["body"]) for page in found]
