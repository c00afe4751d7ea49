"""URL policy: the URLs that already appeared in the conversation, and the citation numbers in use.

A page could trick the model into leaking data by putting it into a URL and fetching that. Therefore
the model may only fetch URLs that others wrote: the user (or the author of the instructions),
search engines, and pages that were read. URLs written by the model do not count, nor do tool
results that repeat them. That is why the first lines of results, in which our tools repeat their
arguments, are skipped, and results of other tools are ignored.

Import on use: httpx2 is heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kronk_agent.errors import ToolError
from kronk_agent.messages import Message
from kronk_agent.tools import RunContext
from kronk_tools.fetching.address import find_urls, normalized_url
from kronk_tools.text import OUTSIDE

_OURS = ("web_search", "web_fetch")
_PAGE = re.compile(r"(?:\[(\d{1,6})\] )?(?:Content|Passages|Links) of (\S+)")
_RESULT = re.compile(r"^\[(\d{1,6})\] .*\nhttps?://", re.MULTILINE)


def record_conversation(run: RunContext) -> None:
    """Record the URLs and numbers in the run's initial messages. Must be called first.

    Calling it again has no effect.
    """
    for message in run.messages:
        if message.role in ("user", "system"):
            record_urls(run, find_urls(message.text))
        elif message.role == "tool" and message.name in _OURS:
            _record_result(run, message)


def record_urls(run: RunContext, addresses: Iterable[str | None]) -> None:
    """Record URLs as known to the run; the first spelling of each is kept."""
    for address in addresses:
        key = normalized_url(address) if address else None
        if address and key is not None:
            run.addresses.setdefault(key, address)


def prior_spelling(run: RunContext, url: str) -> str | None:
    """The spelling of a URL that appeared before: small models change the scheme, or lose a slash.

    None if it did not appear.
    """
    key = normalized_url(url)
    return None if key is None else run.addresses.get(key)


def url_not_in_context() -> ToolError:
    """Build the refusal. It does not contain the URL, which would then count as having appeared."""
    return ToolError(
        "this address was not fetched, because it is not in the conversation: only addresses that "
        "the user wrote, that web_search found, or that are on a page read before may be, so that "
        "nothing can be given away in an address. Copy one of those exactly, search for the page, "
        "or ask the user for its address (the setting web_fetch.url_policy can lift this)",
        code="url_not_in_prior_context",
    )


def _record_result(run: RunContext, message: Message) -> None:
    first, _, rest = message.text.partition("\n")
    if not first.endswith(OUTSIDE):  # a refusal, which repeats what the model wrote
        return
    page = _PAGE.match(first)
    if page is not None:
        record_urls(run, [page[2]])
        run.number_after(int(page[1] or 0))
    else:
        run.number_after(max((int(found[1]) for found in _RESULT.finditer(rest)), default=0))
    record_urls(run, find_urls(rest))
