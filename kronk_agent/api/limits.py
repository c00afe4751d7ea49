"""How much may be asked at a time, of all and by each key."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kronk_agent.api.errors import HttpError
from kronk_agent.api.keys import ApiKey

_RETRY_SECONDS = 1.0


class Limits:
    """Counts the requests under way, and refuses those that are too many.

    Args:
        max_requests: under way at the same time, all together.
        clock: seconds that only go forward.
    """

    def __init__(self, max_requests: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_requests = max_requests
        self._clock = clock
        self.num_under_way = 0
        self._under_way: defaultdict[str, int] = defaultdict(int)
        self._buckets: dict[str, tuple[float, float]] = {}
        """By key: how many requests it has left, as of when."""

    @contextmanager
    def admitted(self, key: ApiKey | None) -> Iterator[None]:
        """A request is under way inside the block.

        Raises:
            HttpError: too many are (503), or too many of this key, or it asks too often (429).
        """
        if self.num_under_way >= self._max_requests:
            raise HttpError(
                f"{self._max_requests} requests are under way, and that is the most: try again",
                status=503,
                code="overloaded",
                retry_after_seconds=_RETRY_SECONDS,
            )
        name = "" if key is None else key.hash
        if key is not None:
            self._check(key)
        self.num_under_way += 1
        self._under_way[name] += 1
        try:
            yield
        finally:
            self.num_under_way -= 1
            self._under_way[name] -= 1

    def _check(self, key: ApiKey) -> None:
        most = key.max_concurrent
        if most is not None and self._under_way[key.hash] >= most:
            raise HttpError(
                f"the API key {key.name!r} has {most} requests under way, and that is the most",
                status=429,
                code="rate_limit_exceeded",
                retry_after_seconds=_RETRY_SECONDS,
            )
        if key.requests_per_minute is not None:
            self._take(key, key.requests_per_minute)

    def _take(self, key: ApiKey, per_minute: int) -> None:
        """One of the requests a key has; they grow again evenly."""
        now = self._clock()
        left, since = self._buckets.get(key.hash, (float(per_minute), now))
        left = min(per_minute, left + (now - since) * per_minute / 60)
        if left < 1:
            raise HttpError(
                f"the API key {key.name!r} may ask {per_minute} times a minute",
                status=429,
                code="rate_limit_exceeded",
                retry_after_seconds=(1 - left) * 60 / per_minute,
            )
        self._buckets[key.hash] = (left - 1, now)
