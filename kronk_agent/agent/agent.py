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
from kronk_agent.model import ChatModel, ChatRequest, RenderedPrompt, ToolChoice
from kronk_agent.tools import Tool, Toolset

_EVENTS_AHEAD = 32
"""Events the run may be ahead of whoever reads them; then it waits."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Answers conversations with a chat model that may use tools.

    Holds no state of a run: many may be under way at once.
    """

    model: ChatModel
    toolsets: Sequence[Toolset] = ()
    """Where two have a tool of the same name, the first one's is used."""
    options: AgentOptions = field(default_factory=AgentOptions)
    compactions: CompactionCache = field(default_factory=CompactionCache, repr=False, compare=False)
    """Cache of shortened conversations, so that continuing one repeats no work."""

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
        """Start answering a conversation; iterate over what this gives for the events.

        The last event is always ``RunFinished``, and what goes wrong with a tool, the model or the
        request is told in events. Leaving the block early stops everything and waits for it.

        Args:
            messages: the conversation so far; left as it is.
            tool_choice: in place of the options'.
            client_tools: tools the caller has, which are without ``call``. A turn that calls one of
                them ends the run with the reason ``tool_calls``; other calls of that turn are
                carried out first. To go on, run again with the conversation, the messages of
                ``RunFinished``, and the results of the caller's own calls.
            approve: whom to ask where the policy says ask; None is nobody, and no call then.
            resume: answer first the calls without a result that the conversation ends with, as
                after a run that ended with the reason ``approval``. They are under the policy too.
        """
        # The loop has a task of its own: a generator must not yield from inside a task group.
        send, receive = create_memory_object_stream[Event](_EVENTS_AHEAD)
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
        """The same without the events on the way: how the run ended."""
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
        """How many tokens the prompt of a run's first step has. Nothing is generated.

        Raises:
            InvalidRequestError: such a run can never work.
        """
        request = self._first_request(messages, tool_choice, client_tools)
        return await self.model.count_prompt_tokens(request)

    async def render_prompt(
        self,
        messages: Sequence[Message],
        *,
        client_tools: Sequence[Tool] = (),
    ) -> RenderedPrompt:
        """The prompt of a run's first step, as the model reads it. Nothing is generated.

        Raises:
            InvalidRequestError: such a run can never work, or the model is on a server, which
                writes its prompts itself.
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
    """A run under way: an async iterator of its events, to be read once."""

    def __init__(self, events: MemoryObjectReceiveStream[Event], scope: CancelScope) -> None:
        self._events = events
        self._scope = scope

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    def cancel(self) -> None:
        """Stop the generation and the running tools.

        A few events may still be on their way; the last one is ``RunFinished``, with the messages
        that were complete, the text so far, and a result for every call.
        """
        self._scope.cancel()
