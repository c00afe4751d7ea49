"""instructor: an object that a call is made into, over chat completions."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys

import instructor
from openai import OpenAI
from pydantic import BaseModel


class echo(BaseModel):  # the name of the tool
    """Say what it is told."""

    text: str


client = instructor.from_openai(OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none"))
said = [{"role": "user", "content": "Echo something."}]
found = client.chat.completions.create(model="scripted", response_model=echo, messages=said)
print(f"round trip of {found.text.split()[-1]} complete")
