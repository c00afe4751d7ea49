"""Concurrency and rate limits, global and per client."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kronk_agent.api.errors import HttpError
from kronk_agent.api.middleware.api_keys import ApiKey

_RETRY_SECONDS = 1.0


class RateLimits:
    """Counts requests in progress, and rejects those over a limit.

    Args:
        max_requests: maximum concurrent requests, all together.
        share: maximum concurrent requests of one client.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, max_requests: int, share: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_requests = max_requests
        self._share = share
        self._clock = clock
        self.num_under_way = 0
        self._in_progress: Counter[str] = Counter()
        self._buckets: dict[str, tuple[float, float]] = {}
        """By key hash: the tokens left in its bucket, and the time of that count."""

    @contextmanager
    def admitted(self, key: ApiKey | None, client_id: str) -> Iterator[None]:
        """Count a request as in progress inside the block.

        Args:
            key: its own limits apply; None where no key is needed.
            client_id: id of the key, or the address of a client without one.

        Raises:
            HttpError: the server is at capacity (503), or the client is over its limits (429).
        """
        if self.num_under_way >= self._max_requests:
            raise HttpError(
                f"server at capacity ({self._max_requests} concurrent requests): try again",
                status=503,
                code="overloaded",
                retry_after_seconds=_RETRY_SECONDS,
            )
        limit = self._share
        if key is not None and key.max_concurrent is not None:
            limit = min(limit, key.max_concurrent)
        if self._in_progress[client_id] >= limit:
            raise HttpError(
                f"too many concurrent requests from {_named(key)} (limit {limit}): try again",
                status=429,
                code="rate_limit_exceeded",
                retry_after_seconds=_RETRY_SECONDS,
            )
        if key is not None and key.requests_per_minute is not None:
            self._take(key, key.requests_per_minute)
        self.num_under_way += 1
        self._in_progress[client_id] += 1
        try:
            yield
        finally:
            self.num_under_way -= 1
            self._in_progress[client_id] -= 1
            if not self._in_progress[client_id]:
                del self._in_progress[client_id]

    def _take(self, key: ApiKey, per_minute: int) -> None:
        """Take a token from the key's bucket, which refills evenly."""
        now = self._clock()
        left, since = self._buckets.get(key.hash, (float(per_minute), now))
        left = min(per_minute, left + (now - since) * per_minute / 60)
        if left < 1:
            raise HttpError(
                f"rate limit of {_named(key)} exceeded ({per_minute} requests per minute): try "
                "again later",
                status=429,
                code="rate_limit_exceeded",
                retry_after_seconds=(1 - left) * 60 / per_minute,
            )
        self._buckets[key.hash] = (left - 1, now)


def _named(key: ApiKey | None) -> str:
    return "this address" if key is None else f"API key {key.name!r}"
