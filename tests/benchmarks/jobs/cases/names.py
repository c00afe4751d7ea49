"""Names and things that jobs draw from."""

from __future__ import annotations

PEOPLE = ("Ann Lee", "Bob Stone", "Carla Ruiz", "David Kim", "Emma Wolf", "Frank Hill")
CITIES = ("Lisbon", "Oslo", "Vienna", "Dublin", "Prague", "Athens")
COUNTRIES = ("Norway", "Spain", "Japan", "Canada", "Greece", "Chile")
ITEMS = ("desk lamp", "office chair", "tea kettle", "wool blanket", "garden hose", "bread knife")
ERRANDS = ("buy milk", "call the plumber", "water the plants", "return the books", "fix the bike")
