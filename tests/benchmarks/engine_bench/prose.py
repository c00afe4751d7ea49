"""Text to read, made of nothing but a seed: always the same, and each seed's unlike the others'."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeAlias

Tokenize: TypeAlias = Callable[[str], list[int]]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


_PLACES = _listed("""
    Aarhus, Bergen, Bilbao, Coimbra, Dundee, Eindhoven, Freiburg, Galway, Ghent, Graz, Haarlem,
    Kaunas, Leipzig, Linz, Lyon, Malmo, Nantes, Odense, Ostrava, Porto, Rennes, Tampere, Tartu,
    Turin, Utrecht, Valencia, Zadar
""")
_PEOPLE = _listed("""
    Ada, Anton, Beatrix, Bruno, Carla, Dora, Edgar, Elif, Farid, Greta, Hamid, Ines, Jonas, Karin,
    Lena, Marek, Nadia, Oskar, Paula, Quentin, Rosa, Samir, Tilda, Ulrich, Vera, Wim, Yara, Zeno
""")
_THINGS = _listed("""
    the archive, the bridge, the cargo terminal, the evening ferry, the flood report, the garden,
    the grain store, the harbour office, the heating plant, the invoice, the library, the school,
    the market hall, the museum roof, the night train, the observatory, the parcel, the reservoir,
    the power station, the rail depot, the survey, the tram line, the warehouse, the water pump
""")
_DEEDS = _listed("""
    inspected, repaired, sold, measured, painted, closed, moved, photographed, counted, described,
    rented, insured, rebuilt, cleaned, financed, mapped, reopened, replaced, weighed, renamed
""")
_REASONS = _listed("""
    because the permit had run out, after a storm damaged the roof, as the contract required,
    before the winter timetable began, at the request of the council, once the insurance had paid,
    although the budget was small, when the new supplier was late, without telling the neighbours,
    so that visitors could use it again
""")


def sentences(seed: int) -> Iterator[str]:
    """Endless plain statements of who did what, where and why."""
    draw = random.Random(seed)
    while True:
        day, amount = draw.randint(1, 28), draw.randint(12, 9800)
        yield (
            f"On day {day}, {draw.choice(_PEOPLE)} from {draw.choice(_PLACES)} "
            f"{draw.choice(_DEEDS)} {draw.choice(_THINGS)} for {amount} euros, "
            f"{draw.choice(_REASONS)}."
        )


def text_of(num_tokens: int, seed: int, tokenize: Tokenize) -> list[int]:
    """So many tokens of prose, cut in the middle of a sentence."""
    tokens: list[int] = []
    for sentence in sentences(seed):
        if len(tokens) >= num_tokens:
            break
        tokens += tokenize(f" {sentence}" if tokens else sentence)
    return tokens[:num_tokens]
