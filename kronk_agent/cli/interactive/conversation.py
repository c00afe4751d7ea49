"""A conversation with an agent: its messages and how a turn extends them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kronk_agent.agent import Agent, Approve
from kronk_agent.cli.interactive.rendering import Renderer
from kronk_agent.cli.runner import Interrupts
from kronk_agent.messages import Message, RunFinished


class Conversation:
    """A user's conversation with the agent, rendered as it happens."""

    def __init__(
        self,
        agent: Agent,
        renderer: Renderer,
        interrupts: Interrupts,
        *,
        to_message: Callable[[str], Awaitable[Message]],
        approve: Approve | None = None,
    ) -> None:
        self._approve = approve
        self._agent = agent
        self._to_message = to_message
        self._renderer = renderer
        self._interrupts = interrupts
        self.messages: tuple[Message, ...] = ()

    async def turn(self, text: str) -> RunFinished:
        """Let the agent answer. Ctrl-C cancels the run and keeps what was completed.

        If a run adds no message, the conversation is unchanged, so that user and assistant turns
        keep alternating.

        Raises:
            ToolError: a resource that the text mentions cannot be read.
        """
        asked = (*self.messages, await self._to_message(text))
        finished: RunFinished | None = None
        async with self._agent.run(asked, approve=self._approve) as run:
            with self._interrupts.handled_by(run.cancel):
                async for event in run:
                    self._renderer.render(event)
                    if isinstance(event, RunFinished):
                        finished = event
        assert finished is not None, "every run ends with RunFinished"
        if finished.messages:
            self.messages = (*asked, *finished.messages)
        return finished

    def clear(self) -> None:
        """Remove all messages."""
        self.messages = ()
