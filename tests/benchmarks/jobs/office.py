"""Tools that are Python functions with a state: notes, a calendar, orders, mail, rooms, units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kronk_agent.tools import Tool, tool


@dataclass(slots=True)
class Notes:
    """A list of notes."""

    texts: list[str] = field(default_factory=list)

    def tools(self) -> tuple[Tool, ...]:
        def list_notes() -> str:
            """Read all notes."""
            return "\n".join(f"{n}. {text}" for n, text in enumerate(self.texts, 1)) or "no notes"

        def add_note(text: str) -> str:
            """Add a note.

            Args:
                text: What the note says.
            """
            self.texts.append(text)
            return f"added note {len(self.texts)}"

        def delete_note(number: int) -> str:
            """Delete a note for good.

            Args:
                number: The note's number.
            """
            if not 1 <= number <= len(self.texts):
                raise ValueError(f"there is no note {number}")
            return f"deleted: {self.texts.pop(number - 1)}"

        return _tools(list_notes, add_note, delete_note)


@dataclass(slots=True)
class Calendar:
    """Events by day."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    """Day, time and title."""

    def tools(self) -> tuple[Tool, ...]:
        def list_events(day: str) -> str:
            """List the events of a day.

            Args:
                day: As YYYY-MM-DD.
            """
            found = sorted((time, title) for on, time, title in self.events if on == day)
            return "\n".join(f"{time} {title}" for time, title in found) or "no events"

        def add_event(day: str, time: str, title: str) -> str:
            """Add an event to the calendar.

            Args:
                day: As YYYY-MM-DD.
                time: As HH:MM.
                title: What the event is.
            """
            self.events.append((day, time, title))
            return f"added {title} on {day} at {time}"

        return _tools(list_events, add_event)


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a customer."""

    customer: str
    item: str
    total: int
    status: str


@dataclass(slots=True)
class Shop:
    """Customers and their orders."""

    customers: Mapping[str, str]
    """Ids by name."""
    orders: dict[str, Order]
    """By id, the oldest first; ``customer`` is an id."""

    def tools(self) -> tuple[Tool, ...]:
        def find_customer(name: str) -> dict[str, str]:
            """Find a customer's id by name.

            Args:
                name: The customer's full name.
            """
            if name not in self.customers:
                raise ValueError(f"no customer is called {name}")
            return {"customer_id": self.customers[name], "name": name}

        def list_orders(customer_id: str) -> list[str]:
            """List the ids of a customer's orders, the oldest first.

            Args:
                customer_id: An id that find_customer gave.
            """
            return [
                number for number, order in self.orders.items() if order.customer == customer_id
            ]

        def get_order(order_id: str) -> dict[str, str | int]:
            """Get an order: its item, its total in euros and its status.

            Args:
                order_id: The order's id, such as ORD-0042.
            """
            order = self._order(order_id)
            return {"item": order.item, "total": order.total, "status": order.status}

        def cancel_order(order_id: str) -> str:
            """Cancel an order. This cannot be undone.

            Args:
                order_id: The order's id, such as ORD-0042.
            """
            self.orders[order_id] = replace(self._order(order_id), status="cancelled")
            return f"order {order_id} is cancelled"

        return _tools(find_customer, list_orders, get_order, cancel_order)

    def _order(self, order_id: str) -> Order:
        if order_id not in self.orders:
            raise ValueError(f"there is no order {order_id!r}; ids look like ORD-0042")
        return self.orders[order_id]


@dataclass(slots=True)
class Mail:
    """An address book, and what was sent."""

    addresses: Mapping[str, str]
    sent: list[tuple[str, str]] = field(default_factory=list)
    """Address and text."""

    def tools(self) -> tuple[Tool, ...]:
        def find_contact(name: str) -> str:
            """Find a person's email address.

            Args:
                name: The person's first name.
            """
            if name not in self.addresses:
                raise ValueError(f"no contact is called {name}")
            return self.addresses[name]

        def send_email(to: str, text: str) -> str:
            """Send an email.

            Args:
                to: The email address.
                text: What the email says.
            """
            self.sent.append((to, text))
            return f"sent to {to}"

        return _tools(find_contact, send_email)


@dataclass(slots=True)
class Rooms:
    """Meeting rooms, booked by the hour."""

    booked: dict[tuple[str, int], str] = field(default_factory=dict)
    """Who, by room and hour."""

    def tools(self) -> tuple[Tool, ...]:
        def book_room(room: str, hour: int, name: str) -> str:
            """Book a meeting room for one hour today.

            Args:
                room: The room's name.
                hour: The hour it begins, from 8 to 17.
                name: Who books it.
            """
            if (room, hour) in self.booked:
                free = [h for h in range(8, 18) if (room, h) not in self.booked]
                raise ValueError(f"{room} is taken at {hour}; free hours: {free}")
            self.booked[room, hour] = name
            return f"{room} is booked at {hour} for {name}"

        return _tools(book_room)


_POUNDS = 0.45359237
_FACTORS = {
    ("lb", "kg"): _POUNDS,
    ("kg", "lb"): 1 / _POUNDS,
    ("mile", "km"): 1.609344,
    ("km", "mile"): 1 / 1.609344,
}


def convert_units() -> Tool:
    """A tool that converts weights and lengths."""

    def convert_unit(value: float, from_unit: str, to_unit: str) -> str:
        """Convert a value from one unit to another.

        Args:
            value: The value.
            from_unit: One of lb, kg, mile, km.
            to_unit: One of lb, kg, mile, km.
        """
        factor = _FACTORS.get((from_unit, to_unit))
        if factor is None:
            raise ValueError(f"cannot convert {from_unit} to {to_unit}")
        return f"{value * factor:.2f} {to_unit}"

    return tool(convert_unit)


def _tools(*functions: Callable[..., object]) -> tuple[Tool, ...]:
    return tuple(tool(function) for function in functions)
