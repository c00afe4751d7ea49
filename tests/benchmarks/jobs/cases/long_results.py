"""A result of about 20,000 tokens, of which one line matters; the context holds 8,192."""

from __future__ import annotations

from benchmarks.jobs.cases.names import CITIES, ITEMS
from benchmarks.jobs.job import Job, World, job, says, says_number

from kronk_agent.testing import call
from kronk_agent.tools import tool

_LINES = 1000
"""Of about 20 tokens each."""


def _log(first: str = "", last: str = "") -> str:
    lines = [
        f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02} INFO worker {n % 7} took item {n}"
        for n in range(_LINES)
    ]
    return "\n".join(line for line in (first, *lines, last) if line) + "\n"


@job("long", servers=("filesystem",))
def last_line_of_a_log(world: World) -> Job:
    code = world.draw.randint(100, 999)
    world.write("server.log", _log(last=f"00:16:40 ERROR the disk is full, code {code}"))
    return Job(
        prompts=(
            "server.log is very long. Which error code stands in its last line? "
            "The end of the file is enough.",
        ),
        checks=(says_number(code),),
        solution=(
            [call("filesystem__read_text_file", path="server.log", tail=1), f"The code is {code}."],
        ),
    )


@job("long", servers=("filesystem",))
def beginning_of_a_log(world: World) -> Job:
    version = f"{world.draw.randint(2, 9)}.{world.draw.randint(10, 40)}"
    world.write("server.log", _log(first=f"00:00:00 INFO server version {version} starts"))
    return Job(
        prompts=("Read server.log. Which version of the server is running?",),
        checks=(says(version),),
        solution=([call("filesystem__read_text_file", path="server.log"), f"Version {version}."],),
    )


@job("long")
def a_price_in_a_long_list(world: World) -> Job:
    item = world.draw.choice(ITEMS)
    price = world.draw.randint(1200, 2900)

    def list_prices() -> str:
        """List all articles with their prices, those that sell best first."""
        rows = [
            f"article {n:04}: {n % 90 + 3} euros, in stock in hall {n % 9}" for n in range(_LINES)
        ]
        return "\n".join([f"{item}: {price} euros, in stock in hall 4", *rows])

    return Job(
        prompts=(f"What does the {item} cost, according to the price list?",),
        checks=(says_number(price),),
        tools=(tool(list_prices),),
        solution=([call("list_prices"), f"{price} euros."],),
    )


@job("long")
def a_long_page(world: World) -> Job:
    city = world.draw.choice(CITIES)
    paragraphs = [
        f"<p>Chapter {n} tells how the travellers went on for {n % 5 + 2} more days, what they "
        "ate, whom they met on the road, and how the weather was in the mountains.</p>"
        for n in range(600)
    ]
    url = world.web.html(
        "/journey",
        "<html><head><title>The Long Journey</title></head><body><article><h1>The Long Journey</h1>"
        f"<p>The journey began in {city} on a cold morning in spring.</p>"
        + "".join(paragraphs)
        + "</article></body></html>",
    )
    return Job(
        prompts=(f"In which city did the journey begin, according to {url} ?",),
        checks=(says(city),),
        has_web=True,
        solution=([call("web_fetch", url=url), f"In {city}."],),
    )
