"""Registry of model families: the first one that matches a template makes its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families import (
    functionary,
    gemma4,
    harmony,
    hermes,
    kimi_k3,
    lfm2,
    llama3,
    llama4,
    minimax_m3,
)
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.templates.chat_template import ChatTemplate

FAMILIES: Final[tuple[Family, ...]] = (
    # Match by the source alone, so the template is analysed only if the family needs it.
    harmony.FAMILY,
    functionary.FAMILY,
    kimi_k3.FAMILY,
    gemma4.FAMILY,
    minimax_m3.FAMILY,
    llama4.FAMILY,
    # Match by the analysed format as well.
    llama3.FAMILY,
    lfm2.FAMILY,
    hermes.FAMILY,
)
"""In the order in which they are tried."""


def dialect_for(template: ChatTemplate, special_tokens: Mapping[str, int]) -> Dialect:
    """Return the dialect of a template's model; the generic one if it has no call format.

    Args:
        template: the model's own.
        special_tokens: the vocabulary's special tokens by text.
    """
    analysed = AnalysedTemplate(template, special_tokens)
    for family in FAMILIES:
        if family.matches(analysed):
            return family.adapt(analysed)
    return analysed.dialect(analysed.format)
