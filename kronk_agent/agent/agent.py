"""The agent and its runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from anyio import CancelScope, create_memory_object_stream
from anyio.streams.memory import MemoryObjectReceiveStream

from kronk_agent.agent.approval import Approve
from kronk_agent.agent.compaction import CompactionCache
from kronk_agent.agent.instructions import tool_notes, with_instructions, with_notes
from kronk_agent.agent.loop import RunLoop
from kronk_agent.agent.options import AgentOptions
from kronk_agent.agent.tool_calls.tool_executor import collect_tools
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.messages import Event, Message, RunFinished
from kronk_agent.model import ChatModel, ChatRequest, RenderedPrompt
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool, Toolset

_EVENT_BUFFER_SIZE = 32
"""Events that a run may be ahead of its reader before it waits."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Answers conversations with a chat model that can use tools.

    It holds no state of a run, so several runs can be active at the same time.
    """

    model: ChatModel
    toolsets: Sequence[Toolset] = ()
    """The tools' sources; the first tool of a name is used."""
    options: AgentOptions = field(default_factory=AgentOptions)
    compactions: CompactionCache = field(default_factory=CompactionCache, repr=False, compare=False)
    """Cache of compacted conversations, so that continuing one repeats no work."""

    @asynccontextmanager
    async def run(
        self,
        messages: Sequence[Message],
        *,
        tool_choice: ToolChoice | None = None,
        client_tools: Sequence[Tool] = (),
        approve: Approve | None = None,
        resume: bool = False,
    ) -> AsyncIterator[Run]:
        """Start answering a conversation. The yielded ``Run`` iterates over its events.

        The last event is always ``RunFinished``; errors of tools, the model or the request are
        reported as events. Leaving the block early cancels the run and waits for it to end.

        Args:
            messages: the conversation so far; not modified.
            tool_choice: overrides the one in the options.
            client_tools: tools that the caller executes; they have no ``call``. A turn that calls
                one of them ends the run with the reason ``tool_calls``, after the other calls of
                that turn were executed. To continue, run again with the conversation, the messages
                of ``RunFinished`` and the results of the client tool calls.
            approve: asked where the policy says ``ask``; if None, such calls are denied.
            resume: first execute the calls without a result at the end of the conversation, as
                after a run that ended with the reason ``approval``. The policy applies to them too.
        """
        # The loop runs in its own task: a generator must not yield from inside a task group.
        send, receive = create_memory_object_stream[Event](_EVENT_BUFFER_SIZE)
        scope = CancelScope()
        loop = RunLoop(
            self.model,
            self.toolsets,
            self.options,
            messages,
            client_tools=client_tools,
            tool_choice=tool_choice or self.options.tool_choice,
            approve=approve,
            resume=resume,
            events=send,
            compactions=self.compactions,
        )
        with send, receive:
            async with open_task_group() as group:
                group.start_soon(loop.run, scope)
                yield Run(receive, scope)
                group.cancel_scope.cancel()

    async def answer(
        self,
        messages: Sequence[Message],
        *,
        tool_choice: ToolChoice | None = None,
        client_tools: Sequence[Tool] = (),
        approve: Approve | None = None,
        resume: bool = False,
    ) -> RunFinished:
        """Answer a conversation without streaming; see ``run`` for the arguments.

        Returns:
            The last event of the run.
        """
        last: Event | None = None
        not_streaming = replace(self, options=replace(self.options, streamed=False))
        async with not_streaming.run(
            messages,
            tool_choice=tool_choice,
            client_tools=client_tools,
            approve=approve,
            resume=resume,
        ) as run:
            async for event in run:
                last = event
        assert isinstance(last, RunFinished)
        return last

    async def count_tokens(
        self,
        messages: Sequence[Message],
        *,
        tool_choice: ToolChoice | None = None,
        client_tools: Sequence[Tool] = (),
    ) -> int:
        """Return the number of prompt tokens of a run's first step; generates nothing.

        Raises:
            InvalidRequestError: the request is invalid, so a run would fail.
        """
        request = self._first_request(messages, tool_choice, client_tools)
        return await self.model.count_prompt_tokens(request)

    async def render_prompt(
        self,
        messages: Sequence[Message],
        *,
        client_tools: Sequence[Tool] = (),
    ) -> RenderedPrompt:
        """Return the prompt of a run's first step as the model reads it; generates nothing.

        Raises:
            InvalidRequestError: the request is invalid, or the model is remote: its server renders
                prompts itself.
        """
        request = self._first_request(messages, None, client_tools)
        return await self.model.render_prompt(request)

    def _first_request(
        self,
        messages: Sequence[Message],
        tool_choice: ToolChoice | None,
        client_tools: Sequence[Tool],
    ) -> ChatRequest:
        tools, _ = collect_tools(self.toolsets, client_tools, policy=self.options.effective_rules)
        notes = tool_notes(self.toolsets)
        return with_notes(self.options, notes).request(
            with_instructions(messages, self.options, notes),
            list(tools.values()),
            tool_choice or self.options.tool_choice,
            is_first=True,
        )


class Run:
    """An active run: an async iterator of its events, to be consumed once."""

    def __init__(self, events: MemoryObjectReceiveStream[Event], scope: CancelScope) -> None:
        self._events = events
        self._scope = scope

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    def cancel(self) -> None:
        """Stop the generation and the running tools.

        Some events may still follow; the last one is ``RunFinished`` with the completed messages,
        the text so far and a result for every call.
        """
        self._scope.cancel()
