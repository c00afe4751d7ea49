"""Rate limiting."""

from __future__ import annotations

import anyio


class TokenBucket:
    """Token bucket: a burst of calls at once, then one per ``seconds_per_token``."""

    def __init__(self, *, burst: int, seconds_per_token: float) -> None:
        self._burst = burst
        self._seconds_per_token = seconds_per_token
        self._tokens = float(burst)
        self._counted_at: float | None = None

    async def take(self) -> None:
        """Wait for a token. A cancelled wait returns its token."""
        now = anyio.current_time()
        if self._counted_at is not None:
            gained = (now - self._counted_at) / self._seconds_per_token
            self._tokens = min(self._burst, self._tokens + gained)
        self._counted_at = now
        self._tokens -= 1
        try:
            await anyio.sleep(max(0.0, -self._tokens * self._seconds_per_token))
        except BaseException:
            self._tokens += 1
            raise
