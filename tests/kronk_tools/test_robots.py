from __future__ import annotations

import anyio
import httpx2
import pytest
from limits import seconds
from loopback_web import LOOPBACK, Answer, LoopbackWeb

from kronk_agent.errors import ToolError
from kronk_tools.fetching.address_guard import AddressGuard
from kronk_tools.fetching.http import Fetcher
from kronk_tools.fetching.robots import MAX_ROBOTS_BYTES, Robots


def robots(*, timeout_seconds: float = seconds(5)) -> Robots:
    return Robots(
        Fetcher(
            guard=AddressGuard((LOOPBACK,)),
            timeout_seconds=timeout_seconds,
            max_bytes=MAX_ROBOTS_BYTES,
            accepts=lambda _: True,
        )
    )


async def refusal(url: str, by: Robots) -> str | None:
    """None when it may be read."""
    try:
        with anyio.fail_after(seconds(10)):
            await by.ensure_allowed(httpx2.URL(url))
    except ToolError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("rules", "allowed", "refused"),
    [
        ("", "/", None),
        ("User-agent: *\nDisallow: /", None, "/"),
        ("User-agent: *\nDisallow:", "/", None),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", "/a/c"),
        ("User-agent: *\nDisallow: /*.pdf$", "/a.pdf?x", "/a.pdf"),
        ("User-agent: kronk-agent\nDisallow: /\n\nUser-agent: *\nAllow: /", None, "/"),
        ("User-agent: *\nDisallow: /\n\nUser-agent: kronk-agent\nAllow: /", "/", None),
        ("User-agent: GPTBot\nDisallow: /", "/", None),
        ("\ufeffUser-agent: *\r\nDisallow: /a", "/", "/a"),
        ("<html>not found</html>", "/", None),
    ],
)
async def test_the_rules_are_kept_to(
    web: LoopbackWeb, rules: str, allowed: str | None, refused: str | None
) -> None:
    web.answers["/robots.txt"] = Answer(rules.encode(), "text/plain")
    by = robots()

    if allowed is not None:
        assert await refusal(web.url + allowed, by) is None
    if refused is not None:
        words = await refusal(web.url + refused, by)
        assert words is not None
        assert words.startswith("the robots.txt of 127.0.0.1 asks programs not to read")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_site_without_rules_is_open(web: LoopbackWeb, status: int) -> None:
    web.answers["/robots.txt"] = Answer(status=status)

    assert await refusal(f"{web.url}/a", robots()) is None


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_site_whose_rules_cannot_be_had_for_now_is_left_alone(
    web: LoopbackWeb, status: int
) -> None:
    web.answers["/robots.txt"] = Answer(status=status)

    words = await refusal(f"{web.url}/a", robots())

    assert words is not None
    assert words.startswith(
        f"{web.url}/a was not read, because the site's robots.txt could not be: "
        f"{web.url}/robots.txt answered HTTP {status}"
    )


async def test_rules_that_never_come_are_given_up(web: LoopbackWeb) -> None:
    web.answers["/robots.txt"] = lambda _handler: (web.closing.wait(), None)[1]

    assert "/robots.txt took longer than 0.2 seconds" in str(
        await refusal(f"{web.url}/a", robots(timeout_seconds=0.2))
    )


async def test_rules_at_another_address_are_read_there(web: LoopbackWeb) -> None:
    web.redirect("/robots.txt", "/rules")
    web.answers["/rules"] = Answer(b"User-agent: *\nDisallow: /", "text/plain")

    assert await refusal(f"{web.url}/a?b", robots()) is not None


async def test_the_rules_of_a_site_are_asked_for_once_even_by_many_at_the_same_time(
    web: LoopbackWeb,
) -> None:
    web.answers["/robots.txt"] = Answer(b"", "text/plain")
    by = robots()

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(refusal, f"{web.url}/{number}", by)

    assert [request.path for request in web.requests] == ["/robots.txt"]


async def test_a_private_address_is_refused_before_anything_is_asked_of_it() -> None:
    assert "10.0.0.1 is in a private network" in str(await refusal("http://10.0.0.1/a", robots()))
