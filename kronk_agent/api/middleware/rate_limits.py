"""Limits on concurrent requests and on their rate, of all and of each caller."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kronk_agent.api.errors import HttpError
from kronk_agent.api.middleware.api_keys import ApiKey

_RETRY_SECONDS = 1.0


class RateLimits:
    """Counts the requests under way, and refuses those that are too many.

    Args:
        max_requests: under way at the same time, all together.
        share: the same, of one caller.
        clock: seconds that only go forward.
    """

    def __init__(
        self, max_requests: int, share: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_requests = max_requests
        self._share = share
        self._clock = clock
        self.num_under_way = 0
        self._under_way: Counter[str] = Counter()
        self._buckets: dict[str, tuple[float, float]] = {}
        """By key: how many requests it has left, as of when."""

    @contextmanager
    def admitted(self, key: ApiKey | None, caller: str) -> Iterator[None]:
        """A request is under way inside the block.

        Args:
            key: with its own limits; None where none is needed.
            caller: the id of the key, or the address of who has none.

        Raises:
            HttpError: too many are (503), or too many of this caller, or it asks too often (429).
        """
        if self.num_under_way >= self._max_requests:
            raise HttpError(
                f"the server is at capacity ({self._max_requests} concurrent requests): try again",
                status=503,
                code="overloaded",
                retry_after_seconds=_RETRY_SECONDS,
            )
        most = self._share
        if key is not None and key.max_concurrent is not None:
            most = min(most, key.max_concurrent)
        if self._under_way[caller] >= most:
            raise HttpError(
                f"{_named(key)} has {most} concurrent requests, the most it may have: try again",
                status=429,
                code="rate_limit_exceeded",
                retry_after_seconds=_RETRY_SECONDS,
            )
        if key is not None and key.requests_per_minute is not None:
            self._take(key, key.requests_per_minute)
        self.num_under_way += 1
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self.num_under_way -= 1
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]

    def _take(self, key: ApiKey, per_minute: int) -> None:
        """One of the requests a key has; they grow again evenly."""
        now = self._clock()
        left, since = self._buckets.get(key.hash, (float(per_minute), now))
        left = min(per_minute, left + (now - since) * per_minute / 60)
        if left < 1:
            raise HttpError(
                f"{_named(key)} is over its rate limit of {per_minute} requests a minute",
                status=429,
                code="rate_limit_exceeded",
                retry_after_seconds=(1 - left) * 60 / per_minute,
            )
        self._buckets[key.hash] = (left - 1, now)


def _named(key: ApiKey | None) -> str:
    return "this address" if key is None else f"the API key {key.name!r}"
