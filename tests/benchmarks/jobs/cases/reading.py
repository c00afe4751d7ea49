"""Read something and answer from it."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from benchmarks.jobs.cases.names import CITIES, COUNTRIES, ITEMS, PEOPLE
from benchmarks.jobs.job import Job, World, job, says, says_number
from benchmarks.jobs.office import Calendar, Order, Shop

from kronk_agent.testing import call


@job("read", servers=("filesystem",))
def door_code(world: World) -> Job:
    code = world.draw.randint(1000, 9999)
    world.write(
        "house.txt",
        "The alarm is switched off with the blue key.\n"
        f"The code of the garage door is {code}.\n"
        "The spare key is with the neighbours.\n",
    )
    return Job(
        prompts=("What is the code of the garage door? It is written in house.txt.",),
        checks=(says_number(code),),
        solution=([call("filesystem__read_text_file", path="house.txt"), f"It is {code}."],),
    )


@job("read", servers=("filesystem",))
def rent_in_march(world: World) -> Job:
    amounts = world.draw.sample(range(700, 999), 4)
    months = ("January", "February", "March", "April")
    rows = [
        f"{month},rent,{amount}\n{month},food,{amount // 3}"
        for month, amount in zip(months, amounts, strict=True)
    ]
    world.write("expenses.csv", "\n".join(["month,category,euros", *rows]) + "\n")
    return Job(
        prompts=("How many euros of rent did I pay in March? See the file expenses.csv.",),
        checks=(says_number(amounts[2]),),
        solution=(
            [call("filesystem__read_text_file", path="expenses.csv"), f"{amounts[2]} euros."],
        ),
    )


@job("read", servers=("memory",))
def where_she_lives(world: World) -> Job:
    who, other = world.draw.sample(PEOPLE, 2)
    city, other_city = world.draw.sample(CITIES, 2)
    entities = [
        {"name": name, "entityType": "person", "observations": [f"lives in {place}"]}
        for name, place in ((other, other_city), (who, city))
    ]
    lines = [json.dumps({"type": "entity", **entity}) for entity in entities]
    world.write("memory.jsonl", "\n".join(lines))
    return Job(
        prompts=(f"In which city does {who} live? Look it up in your memory.",),
        checks=(says(city),),
        solution=([call("memory__search_nodes", query=who), f"In {city}."],),
    )


@job("read", servers=("sqlite",))
def customers_from(world: World) -> Job:
    wanted, *others = world.draw.sample(COUNTRIES, 3)
    number = world.draw.randint(6, 14)
    countries = [wanted] * number + [others[0]] * (number + 3) + [others[1]] * 2
    with sqlite3.connect(world.folder / "shop.db") as database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT)")
        rows = [(f"{PEOPLE[n % 6]} {n}", country) for n, country in enumerate(countries)]
        database.executemany("INSERT INTO customers (name, country) VALUES (?, ?)", rows)
    database.close()
    query = f"SELECT COUNT(*) FROM customers WHERE country = '{wanted}'"
    return Job(
        prompts=(
            f"How many customers come from {wanted}? "
            "The database has a table customers with the columns name and country.",
        ),
        checks=(says_number(number),),
        solution=([call("sqlite__read_query", query=query), f"There are {number}."],),
    )


@job("read", servers=("time",))
def time_elsewhere(world: World) -> Job:
    hour = world.draw.randint(12, 22)
    tokyo = datetime.now(UTC).astimezone(ZoneInfo("Asia/Tokyo"))
    there = tokyo.replace(hour=hour, minute=30).astimezone(ZoneInfo("Europe/Paris"))
    twelve = there.strftime("%I:%M").lstrip("0")
    return Job(
        prompts=(f"It is {hour}:30 in Tokyo. What time is it in Paris then?",),
        checks=(says(f"{there:%H:%M}", f"{there.hour}:30", twelve, f"{there:%H:%M:%S}"),),
        solution=(
            [
                call(
                    "time__convert_time",
                    source_timezone="Asia/Tokyo",
                    time=f"{hour}:30",
                    target_timezone="Europe/Paris",
                ),
                f"{there:%H:%M}",
            ],
        ),
    )


@job("read")
def museum_fee(world: World) -> Job:
    fee, year = world.draw.randint(11, 29), world.draw.randint(1840, 1930)
    url = world.web.html(
        "/museum",
        "<html><head><title>The Clock Museum</title></head><body><article>"
        f"<h1>The Clock Museum</h1><p>The museum was founded in {year} and shows 400 clocks from "
        "all over the world. It is open from Tuesday to Sunday.</p>"
        f"<p>The entrance fee for adults is {fee} euros. Children pay nothing.</p>"
        "<p>There is a small café on the first floor, and a shop.</p></article></body></html>",
    )
    return Job(
        prompts=(f"What do adults pay to enter, according to {url} ?",),
        checks=(says_number(fee),),
        has_web=True,
        solution=([call("web_fetch", url=url), f"{fee} euros."],),
    )


@job("read")
def order_status(world: World) -> Job:
    numbers = world.draw.sample(range(1000, 9999), 3)
    statuses = world.draw.sample(("shipped", "waiting for payment", "returned"), 3)
    orders = {
        f"ORD-{number}": Order("C-1", ITEMS[n], 20 + n, statuses[n])
        for n, number in enumerate(numbers)
    }
    order_id = f"ORD-{numbers[1]}"
    return Job(
        prompts=(f"What is the status of order {order_id}?",),
        checks=(says(statuses[1]),),
        tools=Shop({PEOPLE[0]: "C-1"}, orders).tools(),
        solution=([call("get_order", order_id=order_id), f"It is {statuses[1]}."],),
    )


@job("read")
def next_appointment(world: World) -> Job:
    day = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=world.draw.randint(0, 20))
    hour = world.draw.randint(9, 16)
    calendar = Calendar(
        [
            (f"{day:%Y-%m-%d}", f"{hour:02}:15", "dentist"),
            (f"{day:%Y-%m-%d}", "18:00", "choir"),
            (f"{day + timedelta(days=1):%Y-%m-%d}", "10:00", "dentist"),
        ]
    )
    return Job(
        prompts=(f"When do I have to be at the dentist on {day:%Y-%m-%d}?",),
        checks=(says(f"{hour:02}:15", f"{hour}:15", f"{(hour - 1) % 12 + 1}:15"),),
        tools=calendar.tools(),
        solution=([call("list_events", day=f"{day:%Y-%m-%d}"), f"At {hour}:15."],),
    )
