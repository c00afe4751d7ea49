"""Sample turns of the assistant as a template renders them, without the text around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kronk_agent.chat.templates.capabilities import RenderValues, try_render
from kronk_agent.chat.templates.conversation import TemplateCapabilities
from kronk_agent.messages import Message, TextPart
from kronk_agent.tools import Tool

USER: Final = Message.user("questionword")
_ANSWER: Final = Message(role="assistant", content=(TextPart("answerword"),))
_THINKING: Final = re.compile(r"<[^<>]*(think|thought|reason)[^<>]*>|\[THINK\]", re.IGNORECASE)
_ATOM: Final = re.compile(r"<[^<>=\"\n]{1,60}>|\[/?[A-Z_]{2,30}\]|\w+|\s|.", re.DOTALL)


def atoms(text: str) -> list[str]:
    """Split a text into tags, words and single characters, which delimiters are made of."""
    return _ATOM.findall(text)


def common_prefix(one: str, two: str) -> str:
    """Return the longest common prefix of two texts, in whole atoms."""
    common: list[str] = []
    for a, b in zip(atoms(one), atoms(two), strict=False):
        if a != b:
            break
        common.append(a)
    return "".join(common)


class Samples:
    """Renders a turn of the assistant after a question."""

    def __init__(
        self, render: RenderValues, capabilities: TemplateCapabilities, tools: Sequence[Tool]
    ) -> None:
        self._render = render
        self._tools = tools
        self._capabilities = capabilities
        self._base = self._shown([USER]) or ""
        self._generation_prompts = [
            prompt
            for thinking in (None, False, True)
            if (prompt := self._generation_prompt(thinking)) is not None
        ]
        self.header = ""
        """Text that starts every turn, whatever it contains."""
        common = self._generation_prompts[0] if self._generation_prompts else ""
        for text in self._generation_prompts:
            common = common_prefix(common, text)
        answer = (self.turn(_ANSWER) or "").partition(_ANSWER.text)[0]
        if common not in answer:
            common = common_prefix(common, answer)
        thinking = _THINKING.search(common)
        self.header = common if thinking is None else common[: thinking.start()]

    @property
    def generation_prompts(self) -> Sequence[str]:
        """Generation prompts with thinking by default, off and on, if the template renders them."""
        return self._generation_prompts

    def turn(self, message: Message) -> str | None:
        """Render an assistant message without the text before it; None if the template refuses."""
        shown = self._shown([USER, message])
        if shown is None:
            return None
        if not shown.startswith(self._base):
            shown = self._after_question(shown)
        else:
            shown = shown[len(self._base) :]
        if self.header and self.header in shown:
            return shown.partition(self.header)[2]
        return shown

    def _after_question(self, shown: str) -> str:
        rest = self._base.rpartition(USER.text)[2]
        return shown.rpartition(USER.text)[2].removeprefix(rest)

    def _shown(self, messages: Sequence[Message]) -> str | None:
        return try_render(
            self._render,
            messages,
            self._tools,
            self._capabilities,
            enable_thinking=True,
            thinking=True,
        ) or try_render(
            self._render, messages, [], self._capabilities, enable_thinking=True, thinking=True
        )

    def _generation_prompt(self, thinking: bool | None) -> str | None:
        variables = {} if thinking is None else {"enable_thinking": thinking, "thinking": thinking}
        base = try_render(self._render, [USER], self._tools, self._capabilities, **variables)
        opened = try_render(
            self._render,
            [USER],
            self._tools,
            self._capabilities,
            add_generation_prompt=True,
            **variables,
        )
        if base is None or opened is None or not opened.startswith(base):
            return None
        return opened[len(base) :]
