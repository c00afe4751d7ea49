"""Forty tools that have nothing to do with the job, beside those that have."""

from __future__ import annotations

from benchmarks.jobs.cases.names import CITIES, ITEMS, PEOPLE
from benchmarks.jobs.job import Job, World, holds, job, says, says_number
from benchmarks.jobs.office import Calendar, Order, Shop, convert_units

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.testing import call
from kronk_agent.tools import Tool, ToolContext, ToolOutput

_VERBS = ("list", "describe", "start", "stop", "rename")
_THINGS = {
    "printer": "A printer in the office.",
    "playlist": "A list of songs.",
    "backup": "A backup of a server.",
    "deployment": "A program that runs in the cloud.",
    "thermostat": "A thermostat in a room.",
    "invoice_template": "A form that invoices are printed on.",
    "sprinkler": "A sprinkler in the garden.",
    "survey": "A survey among employees.",
}


def irrelevant_tools() -> tuple[Tool, ...]:
    """Forty tools about eight things; each says that it is done."""
    return tuple(_tool(verb, thing) for thing in _THINGS for verb in _VERBS)


def _tool(verb: str, thing: str) -> Tool:
    properties: dict[str, JsonValue] = {
        "name": {"type": "string", "description": _THINGS[thing]},
    }
    if verb == "rename":
        properties["new_name"] = {"type": "string", "description": "Its name from now on."}

    async def done(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        return ToolOutput.of(f"{verb} {thing}: done")

    return Tool(
        name=f"{verb}_{thing}",
        description=f"{verb.capitalize()} a {thing.replace('_', ' ')}.",
        parameters={"type": "object", "properties": properties, "required": list(properties)},
        call=done,
    )


@job("crowd")
def an_order_among_many_tools(world: World) -> Job:
    number, total = world.draw.randint(1000, 9999), world.draw.randint(110, 390)
    order = Order("C-1", world.draw.choice(ITEMS), total, "paid")
    shop = Shop({PEOPLE[0]: "C-1"}, {f"ORD-{number}": order})
    return Job(
        prompts=(f"How much does order ORD-{number} cost in total?",),
        checks=(says_number(total),),
        tools=(*irrelevant_tools(), *shop.tools()),
        solution=([call("get_order", order_id=f"ORD-{number}"), f"{total} euros."],),
    )


@job("crowd")
def an_event_among_many_tools(world: World) -> Job:
    day = f"2026-06-{world.draw.randint(10, 28)}"
    calendar = Calendar([(day, "08:00", "breakfast"), (day, "17:00", "swimming")])

    def is_added() -> bool:
        new = calendar.events[2:]
        return len(new) == 1 and new[0][:2] == (day, "14:00") and "vet" in new[0][2].casefold()

    return Job(
        prompts=(
            f"Add the vet at 14:00 on {day} to my calendar. "
            "Then look at that day and tell me what I do at 17:00.",
        ),
        checks=(holds(is_added, "the vet is not in the calendar once"), says("swimming", "swim")),
        tools=(*irrelevant_tools(), *calendar.tools()),
        solution=(
            [
                call("add_event", day=day, time="14:00", title="vet"),
                call("list_events", day=day),
                "Swimming.",
            ],
        ),
    )


@job("crowd")
def miles_among_many_tools(world: World) -> Job:
    miles = world.draw.randint(31, 95)
    kilometres = round(miles * 1.609344, 2)
    return Job(
        prompts=(f"Convert {miles} miles to kilometres.",),
        checks=(says_number(kilometres, within=0.11),),
        tools=(*irrelevant_tools()[:20], convert_units(), *irrelevant_tools()[20:]),
        solution=(
            [
                call("convert_unit", value=miles, from_unit="mile", to_unit="km"),
                f"{kilometres} km.",
            ],
        ),
    )


@job("crowd", servers=("everything",))
def a_sum_among_many_tools(world: World) -> Job:
    first, second = world.draw.sample(range(10_000, 99_999), 2)
    return Job(
        prompts=(f"Have a tool add {first} and {second}, and tell me the sum.",),
        checks=(says_number(first + second),),
        tools=irrelevant_tools(),
        solution=([call("everything__get-sum", a=first, b=second), f"{first + second}."],),
    )


@job("crowd")
def weather_among_many_tools(world: World) -> Job:
    city = world.draw.choice(CITIES)
    degrees = world.draw.randint(3, 33)

    async def weather(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        is_right = arguments["city"] == city
        return ToolOutput.of({"temperature": degrees if is_right else 0, "unit": "C"})

    tool = Tool(
        name="get_weather",
        description="Get the weather in a city.",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
        call=weather,
    )
    return Job(
        prompts=(f"How many degrees is it in {city} now?",),
        checks=(says_number(degrees),),
        tools=(*irrelevant_tools(), tool),
        solution=([call("get_weather", city=city), f"{degrees} °C."],),
    )
