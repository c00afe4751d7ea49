"""Two to six calls, each of which needs what the one before gave."""

from __future__ import annotations

import sqlite3

from benchmarks.jobs.cases.names import CITIES, ITEMS, PEOPLE
from benchmarks.jobs.job import Job, World, holds, job, says, says_number
from benchmarks.jobs.office import Mail, Order, Shop, convert_units

from kronk_agent.testing import call
from kronk_agent.tools import tool


@job("chain")
def last_order_of_a_customer(world: World) -> Job:
    who, other = world.draw.sample(PEOPLE, 2)
    first, second, third = world.draw.sample(range(1000, 9999), 3)
    totals = world.draw.sample(range(21, 99), 3)
    orders = {
        f"ORD-{first}": Order("C-51", ITEMS[0], totals[0], "shipped"),
        f"ORD-{second}": Order("C-77", ITEMS[1], totals[1], "shipped"),
        f"ORD-{third}": Order("C-51", ITEMS[2], totals[2], "paid"),
    }
    return Job(
        prompts=(f"What is the total of the last order of the customer {who}?",),
        checks=(says_number(totals[2]),),
        tools=Shop({who: "C-51", other: "C-77"}, orders).tools(),
        solution=(
            [
                call("find_customer", name=who),
                call("list_orders", customer_id="C-51"),
                call("get_order", order_id=f"ORD-{third}"),
                f"{totals[2]} euros.",
            ],
        ),
    )


@job("chain", servers=("filesystem",))
def follow_the_files(world: World) -> Job:
    names = world.draw.sample(("red.txt", "green.txt", "blue.txt", "black.txt"), 2)
    word = world.draw.choice(("walnut", "cinnamon", "lantern", "harbour"))
    world.write("start.txt", f"Go on with {names[0]}.\n")
    world.write(names[0], f"Go on with {names[1]}.\n")
    world.write(names[1], f"The password is {word}.\n")
    return Job(
        prompts=(
            "Read start.txt. It names the file to read next, and so on. What is the password?",
        ),
        checks=(says(word),),
        solution=(
            [
                *(call("filesystem__read_text_file", path=name) for name in ("start.txt", *names)),
                f"The password is {word}.",
            ],
        ),
    )


@job("chain")
def six_boxes(world: World) -> Job:
    letters = world.draw.sample("BCDEFGHJKL", 5)
    thing = world.draw.choice(("a silver coin", "a glass marble", "a brass key"))
    contents = {
        box: f"a slip of paper: open box {following}"
        for box, following in zip(["A", *letters], letters, strict=False)
    }
    contents[letters[-1]] = thing

    def open_box(letter: str) -> str:
        """Open a box and tell what is in it.

        Args:
            letter: The letter on the box.
        """
        return contents.get(letter.upper(), "nothing")

    return Job(
        prompts=(
            "Open box A. In each box there is a slip that names the next box to open, until "
            "one has something else in it. What is it?",
        ),
        checks=tuple(says(word) for word in thing.split()[1:]),
        tools=(tool(open_box),),
        solution=([*(call("open_box", letter=box) for box in ["A", *letters]), f"It is {thing}."],),
    )


@job("chain")
def a_link_on_the_page(world: World) -> Job:
    year = world.draw.randint(1750, 1899)
    world.web.html(
        "/harbour-bridge",
        "<html><head><title>The Harbour Bridge</title></head><body><article><h1>The Harbour Bridge"
        f"</h1><p>The bridge over the harbour was opened in {year} by the mayor of the town. It is "
        "made of stone and has seven arches.</p></article></body></html>",
    )
    start = world.web.html(
        "/town",
        "<html><head><title>Our town</title></head><body><article><h1>Our town</h1><p>The town has "
        "a market, two mills and a famous bridge.</p><p>More about it: "
        f'<a href="{world.web.url}/harbour-bridge">the harbour bridge</a>.</p>'
        "</article></body></html>",
    )
    return Job(
        prompts=(
            f"The page {start} links to a page about a bridge. Read that one too: "
            "in which year was the bridge opened?",
        ),
        checks=(says_number(year),),
        has_web=True,
        solution=(
            [
                call("web_fetch", url=start, output="links"),
                call("web_fetch", url=f"{world.web.url}/harbour-bridge"),
                f"In {year}.",
            ],
        ),
    )


@job("chain", servers=("sqlite",))
def best_seller(world: World) -> Job:
    best, *others = world.draw.sample(ITEMS, 3)
    table = world.draw.choice(("sold_items", "store_sales"))
    with sqlite3.connect(world.folder / "shop.db") as database:
        database.execute(f"CREATE TABLE {table} (article TEXT, pieces INTEGER)")
        rows = [(others[0], 41), (best, 87), (others[1], 63)]
        database.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
    database.close()
    query = f"SELECT article FROM {table} ORDER BY pieces DESC LIMIT 1"
    return Job(
        prompts=(
            "Which article did we sell most of? The numbers are in the database; "
            "look at its tables and columns first.",
        ),
        checks=(says(best),),
        solution=(
            [
                call("sqlite__list_tables"),
                call("sqlite__describe_table", table_name=table),
                call("sqlite__read_query", query=query),
                f"The {best}.",
            ],
        ),
    )


@job("chain")
def weight_in_kilograms(world: World) -> Job:
    item = world.draw.choice(ITEMS)
    pounds = world.draw.randint(30, 90)

    def get_weight(item: str) -> str:
        """Get the shipping weight of an item.

        Args:
            item: The item's name.
        """
        return f"{pounds} lb"

    kilograms = round(pounds * 0.45359237, 2)
    return Job(
        prompts=(f"How much does the {item} weigh in kilograms?",),
        checks=(says_number(kilograms, within=0.06),),
        tools=(tool(get_weight), convert_units()),
        solution=(
            [
                call("get_weight", item=item),
                call("convert_unit", value=pounds, from_unit="lb", to_unit="kg"),
                f"{kilograms} kg.",
            ],
        ),
    )


@job("chain", servers=("filesystem",))
def cancel_the_order_in_the_file(world: World) -> Job:
    first, second = world.draw.sample(range(1000, 9999), 2)
    item = world.draw.choice(ITEMS[2:])
    shop = Shop(
        {PEOPLE[0]: "C-1"},
        {
            f"ORD-{first}": Order("C-1", ITEMS[0], 40, "paid"),
            f"ORD-{second}": Order("C-1", item, 60, "paid"),
        },
    )
    world.write("letter.txt", f"Dear shop,\nplease cancel my order ORD-{second}.\nThank you, Ann\n")

    def is_cancelled() -> bool:
        return [order.status for order in shop.orders.values()] == ["paid", "cancelled"]

    return Job(
        prompts=(
            "letter.txt is a letter from a customer who wants an order cancelled. "
            "Cancel it, and tell me what was ordered.",
        ),
        checks=(holds(is_cancelled, "that order is not the one that was cancelled"), says(item)),
        tools=shop.tools(),
        solution=(
            [
                call("filesystem__read_text_file", path="letter.txt"),
                call("get_order", order_id=f"ORD-{second}"),
                call("cancel_order", order_id=f"ORD-{second}"),
                f"It was the {item}.",
            ],
        ),
    )


@job("chain")
def mail_to_a_contact(world: World) -> Job:
    city = world.draw.choice(CITIES)
    mail = Mail({"Tom": "tom.f@post.example", "Mia": f"mia.{city.casefold()}@post.example"})
    address = mail.addresses["Mia"]

    def is_sent() -> bool:
        return len(mail.sent) == 1 and mail.sent[0][0] == address and city in mail.sent[0][1]

    return Job(
        prompts=(
            f"Send Mia an email that says: The train to {city} leaves at 8. "
            "Then tell me the address you sent it to.",
        ),
        checks=(holds(is_sent, "the email was not sent to Mia once"), says(address)),
        tools=mail.tools(),
        solution=(
            [
                call("find_contact", name="Mia"),
                call("send_email", to=address, text=f"The train to {city} leaves at 8."),
                f"I sent it to {address}.",
            ],
        ),
    )
