"""A call fails, and is right when it is made again or made otherwise."""

from __future__ import annotations

from benchmarks.jobs.cases.names import CITIES, ITEMS, PEOPLE
from benchmarks.jobs.job import Job, World, holds, job, says, says_number
from benchmarks.jobs.office import Order, Rooms, Shop

from kronk_agent.testing import call
from kronk_agent.tools import Tool, tool


@job("retry")
def a_server_that_is_busy_once(world: World) -> Job:
    city = world.draw.choice(CITIES)
    degrees = world.draw.randint(11, 29)
    return Job(
        prompts=(f"How warm is it in {city}? Should the weather service be busy, ask again.",),
        checks=(says_number(degrees),),
        tools=(_weather(degrees),),
        solution=(
            [
                call("get_temperature", city=city),
                call("get_temperature", city=city),
                f"It is {degrees} °C.",
            ],
        ),
    )


def _weather(degrees: int) -> Tool:
    calls = 0

    def get_temperature(city: str) -> str:
        """Get the temperature in a city.

        Args:
            city: The city's name.
        """
        nonlocal calls
        calls += 1
        if calls == 1:
            raise TimeoutError("the weather service is busy, try again")
        return f"{degrees} °C"

    return tool(get_temperature)


@job("retry")
def an_id_in_another_form(world: World) -> Job:
    number = world.draw.randint(11, 99)
    total = world.draw.randint(120, 480)
    orders = {f"ORD-00{number}": Order("C-1", ITEMS[0], total, "paid")}
    return Job(
        prompts=(f"What is the total of order {number}?",),
        checks=(says_number(total),),
        tools=Shop({PEOPLE[0]: "C-1"}, orders).tools(),
        solution=(
            [
                call("get_order", order_id=str(number)),
                call("get_order", order_id=f"ORD-00{number}"),
                f"{total} euros.",
            ],
        ),
    )


@job("retry", servers=("filesystem",))
def a_file_in_another_folder(world: World) -> Job:
    total = world.draw.randint(1100, 9900)
    year = world.draw.choice(("2024", "2025"))
    world.write("readme.txt", "Reports are sorted by year.\n")
    world.write(f"{year}/total.txt", f"The total is {total} euros.\n")
    return Job(
        prompts=("What is the total in total.txt? If it is not there, look in the folders.",),
        checks=(says_number(total),),
        solution=(
            [
                call("filesystem__read_text_file", path="total.txt"),
                call("filesystem__list_directory", path="."),
                call("filesystem__read_text_file", path=f"{year}/total.txt"),
                f"{total} euros.",
            ],
        ),
    )


@job("retry")
def a_room_that_is_taken(world: World) -> Job:
    hour = world.draw.randint(9, 14)
    who = world.draw.choice(PEOPLE)
    rooms = Rooms({("Atlas", hour): "the board"})

    def is_booked() -> bool:
        return [key for key, name in rooms.booked.items() if name == who] == [("Atlas", hour + 1)]

    return Job(
        prompts=(
            f"Book the room Atlas at {hour} for {who}. If it is taken, book it one hour later. "
            "At what hour is it booked?",
        ),
        checks=(
            holds(is_booked, "the room is not booked as it should be"),
            says(f"{hour + 1}", f"{(hour) % 12 + 1}"),
        ),
        tools=rooms.tools(),
        solution=(
            [
                call("book_room", room="Atlas", hour=hour, name=who),
                call("book_room", room="Atlas", hour=hour + 1, name=who),
                f"At {hour + 1}:00.",
            ],
        ),
    )
