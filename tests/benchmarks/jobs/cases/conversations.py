"""Two jobs, one after the other, in the same conversation."""

from __future__ import annotations

from benchmarks.jobs.cases.names import ERRANDS, ITEMS, PEOPLE
from benchmarks.jobs.job import Job, World, holds, job, says, says_number
from benchmarks.jobs.office import Notes, Order, Shop

from kronk_agent.testing import call


@job("conversation")
def notes_then_one_more(world: World) -> Job:
    first, second, third = world.draw.sample(ERRANDS, 3)
    notes = Notes([first, second])

    def is_added() -> bool:
        return len(notes.texts) == 3 and notes.texts[2].casefold().strip(" .") == third

    return Job(
        prompts=(
            "How many notes do I have?",
            f"Add the note '{third}'. Then read the notes again: how many are there now?",
        ),
        checks=(
            says_number(2, answer=0),
            holds(is_added, "the note was not added once"),
            says_number(3, answer=1),
        ),
        tools=notes.tools(),
        solution=(
            [call("list_notes"), "You have 2 notes."],
            [call("add_note", text=third), call("list_notes"), "Now there are 3."],
        ),
    )


@job("conversation")
def status_then_cancel(world: World) -> Job:
    number = world.draw.randint(1000, 9999)
    order_id = f"ORD-{number}"
    item = world.draw.choice(ITEMS)
    shop = Shop({PEOPLE[0]: "C-1"}, {order_id: Order("C-1", item, 45, "not shipped")})
    return Job(
        prompts=(
            f"What did I buy with order {order_id}?",
            "Please cancel that order. Then check: what is its status now?",
        ),
        checks=(
            says(item, answer=0),
            holds(lambda: shop.orders[order_id].status == "cancelled", "it is not cancelled"),
            says("cancelled", "canceled", answer=1),
        ),
        tools=shop.tools(),
        solution=(
            [call("get_order", order_id=order_id), f"A {item}."],
            [
                call("cancel_order", order_id=order_id),
                call("get_order", order_id=order_id),
                "It is cancelled.",
            ],
        ),
    )


@job("conversation", servers=("filesystem",))
def one_file_then_the_other(world: World) -> Job:
    first, second = world.draw.sample(range(200, 900), 2)
    world.write("monday.txt", f"Visitors: {first}\nWeather: rain\n")
    world.write("tuesday.txt", f"Visitors: {second}\nWeather: sun\n")
    return Job(
        prompts=(
            "How many visitors came on Monday? It is in monday.txt.",
            "And on Tuesday? That is in tuesday.txt.",
        ),
        checks=(says_number(first, answer=0), says_number(second, answer=1)),
        solution=(
            [call("filesystem__read_text_file", path="monday.txt"), f"{first} visitors."],
            [call("filesystem__read_text_file", path="tuesday.txt"), f"{second} visitors."],
        ),
    )


@job("conversation", servers=("memory",))
def remember_then_recall(world: World) -> Job:
    who, other = world.draw.sample(PEOPLE, 2)
    hobby, other_hobby = world.draw.sample(("rowing", "chess", "pottery", "karate"), 2)

    def is_stored() -> bool:
        text = world.read("memory.jsonl")
        return all(words in text for words in (who, hobby, other, other_hobby))

    return Job(
        prompts=(
            f"Store in your memory that the hobby of {who} is {hobby}, "
            f"and that the hobby of {other} is {other_hobby}.",
            f"Look into your memory: whose hobby is {other_hobby}?",
        ),
        checks=(holds(is_stored, "the hobbies are not in the memory"), says(other, answer=1)),
        solution=(
            [
                call(
                    "memory__create_entities",
                    entities=[
                        {"name": who, "entityType": "person", "observations": [f"hobby: {hobby}"]},
                        {
                            "name": other,
                            "entityType": "person",
                            "observations": [f"hobby: {other_hobby}"],
                        },
                    ],
                ),
                "I have stored both.",
            ],
            [call("memory__search_nodes", query=other_hobby), f"It is the hobby of {other}."],
        ),
    )
