"""robots.txt: rules of a site for automated clients (RFC 9309).

Import on use: httpx2 is heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import httpx2
from anyio import to_thread
from protego import Protego

from kronk_agent.errors import ToolError
from kronk_tools.fetching.address import origin
from kronk_tools.fetching.charset import decode
from kronk_tools.fetching.http import USER_AGENT, CheckUrl, Fetcher, HttpStatusError, allow_any_url

MAX_ROBOTS_BYTES = 512_000
_FRESH_SECONDS = 3_600.0
_MAX_SITES = 256
_TOO_MANY_REQUESTS = 429


@dataclass(slots=True)
class _Site:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    rules: Protego | None = None
    fresh_until: float = -1.0


class Robots:
    """Applies each site's robots.txt, which is cached for an hour.

    Args:
        fetcher: fetches robots.txt; must not itself apply robots.txt.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._sites: dict[tuple[str, str, int], _Site] = {}

    async def ensure_allowed(self, url: httpx2.URL, check: CheckUrl = allow_any_url) -> None:
        """Check a URL against the site's robots.txt.

        Raises:
            ToolError: robots.txt does not allow it, or could not be read.
        """
        rules = await self._rules(url, check)
        if rules is None or rules.can_fetch(str(url), USER_AGENT):
            return
        raise ToolError(
            f"the robots.txt of {url.host} asks programs not to read {url}: use another source, or "
            "ask the user to open it; the person who runs this can turn the check off with the "
            "setting web_fetch.robots",
            code="url_not_allowed",
        )

    async def _rules(self, url: httpx2.URL, check: CheckUrl) -> Protego | None:
        """The site's rules; None if it has none."""
        site = self._sites.get(origin(url))
        if site is None:
            if len(self._sites) >= _MAX_SITES:
                self._sites.pop(next(iter(self._sites)))
            site = self._sites[origin(url)] = _Site()
        async with site.lock:
            if site.fresh_until < anyio.current_time():
                site.rules = await self._read(url, check)
                site.fresh_until = anyio.current_time() + _FRESH_SECONDS
            return site.rules

    async def _read(self, url: httpx2.URL, check: CheckUrl) -> Protego | None:
        address = str(url.copy_with(raw_path=b"/robots.txt"))

        def check_redirect(hop: str) -> None:
            """Check redirects of robots.txt, but not its own URL."""
            if hop != address:
                check(hop)

        try:
            fetched = await self._fetcher.get(address, check=check_redirect)
        except HttpStatusError as error:
            # A site without robots.txt, or that does not serve it, allows everything.
            if 400 <= error.status < 500 and error.status != _TOO_MANY_REQUESTS:
                return None
            raise ToolError(
                f"{url} was not read, because the site's robots.txt could not be: {error}"
            ) from error
        text = decode(fetched.body, fetched.charset)
        return await to_thread.run_sync(Protego.parse, text)
