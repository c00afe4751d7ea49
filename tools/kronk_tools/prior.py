"""What a conversation has brought up before: the addresses that may be read, the numbers taken.

A model that was talked into it by a page could put what it knows into an address and have it
fetched. So the addresses it may fetch are those that others have written: the user (and whoever
wrote the instructions), search engines, and pages that were read. What the model itself wrote does
not count, nor does a tool's repetition of it; that is why first lines, in which our tools say what
they were asked for, are skipped, and other tools' results are not looked at.

Import it on use: httpx2 is heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kronk_agent.errors import ToolError
from kronk_agent.messages import Message
from kronk_agent.tools import RunContext
from kronk_tools.fetching.address import addresses_in, comparable
from kronk_tools.text import OUTSIDE

_OURS = ("web_search", "web_fetch")
_PAGE = re.compile(r"(?:\[(\d{1,6})\] )?(?:Content|Passages|Links) of (\S+)")
_RESULT = re.compile(r"^\[(\d{1,6})\] .*\nhttps?://", re.MULTILINE)


def recall(run: RunContext) -> None:
    """Let the run know what is in the conversation it was given. To be done before anything else.

    Doing it again changes nothing.
    """
    for message in run.messages:
        if message.role in ("user", "system"):
            remember(run, addresses_in(message.text))
        elif message.role == "tool" and message.name in _OURS:
            _recall_result(run, message)


def remember(run: RunContext, addresses: Iterable[str | None]) -> None:
    """Let the run know of addresses that have come up; the first spelling of each is kept."""
    for address in addresses:
        form = comparable(address) if address else None
        if address and form is not None:
            run.addresses.setdefault(form, address)


def as_it_came_up(run: RunContext, url: str) -> str | None:
    """The address as others have written it: small models write https for http, or lose a slash.

    None when it has not come up.
    """
    form = comparable(url)
    return None if form is None else run.addresses.get(form)


def unknown() -> ToolError:
    """The refusal. The address is not in it, so that it does not come up now."""
    return ToolError(
        "this address was not fetched, because it is not in the conversation: only addresses that "
        "the user wrote, that web_search found, or that are on a page read before may be, so that "
        "nothing can be given away in an address. Copy one of those exactly, search for the page, "
        "or ask the user for its address (the setting web_fetch.url_policy can lift this)",
        code="url_not_in_prior_context",
    )


def _recall_result(run: RunContext, message: Message) -> None:
    first, _, rest = message.text.partition("\n")
    if not first.endswith(OUTSIDE):  # a refusal, which repeats what the model wrote
        return
    page = _PAGE.match(first)
    if page is not None:
        remember(run, [page[2]])
        run.number_after(int(page[1] or 0))
    else:
        run.number_after(max((int(found[1]) for found in _RESULT.finditer(rest)), default=0))
    remember(run, addresses_in(rest))
