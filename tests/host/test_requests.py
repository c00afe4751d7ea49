"""Servers ask for a sample of our model, for a person's answer, for folders: as far as they may."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from host.support import asking, call, faulty, hosting, text_of, tools, until
from limits import seconds

from kronk_agent.errors import ToolError
from kronk_agent.host import (
    ElicitAction,
    FormAnswer,
    FormElicitation,
    SamplingApproval,
    ToolApproval,
    UrlElicitation,
)
from kronk_agent.host.client_features.sampling import REQUESTS_PER_CALL
from kronk_agent.messages import Message, TextPart, ToolCall
from kronk_agent.model import ChatModel
from kronk_agent.settings import SamplingParams, ToolChoice
from kronk_agent.testing import ScriptedModel, Turn
from kronk_agent.testing import call as scripted_call
from kronk_agent.tools import ToolOutput

ERAS = pytest.mark.parametrize("protocol", ["legacy", "2026-07-28"])


@dataclass
class Decided:
    """A person who always answers the same, and remembers what was asked."""

    form: FormAnswer = FormAnswer("decline")  # noqa: RUF009  # frozen
    agrees: bool = True
    visits: ElicitAction = "accept"
    hesitates_seconds: float = 0
    asked: list[FormElicitation | UrlElicitation | SamplingApproval | ToolApproval] = field(
        default_factory=list
    )

    async def answer_form(self, form: FormElicitation) -> FormAnswer:
        self.asked.append(form)
        await anyio.sleep(self.hesitates_seconds)
        return self.form

    async def approve_url(self, elicitation: UrlElicitation) -> ElicitAction:
        self.asked.append(elicitation)
        return self.visits

    async def approve_sampling(self, approval: SamplingApproval) -> bool:
        self.asked.append(approval)
        return self.agrees

    async def approve_tool_call(self, approval: ToolApproval) -> bool:
        self.asked.append(approval)
        return self.agrees


class Models:
    """Gives a scripted model, as a runtime gives the one it loads."""

    def __init__(self, *answers: Turn) -> None:
        self.model = ScriptedModel(answers)

    async def __call__(self) -> ChatModel:
        return self.model


@ERAS
async def test_a_server_may_ask_our_model(tmp_path: Path, protocol: str) -> None:
    models = Models("Short.")
    server = asking(protocol=protocol, sampling="allow")

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path, get_model=models) as host:
            await host.wait_ready()
            output = await call(host, "x__summarise", {"text": "Long."})

    assert output.structured == {
        "content": {"type": "text", "text": "Short.", "annotations": None, "meta": None},
        "model": "scripted",
        "stop_reason": "endTurn",
    }
    (request,) = models.model.requests
    assert request.messages == (Message.system("Be brief."), Message.user("Summarise: Long."))
    assert (request.max_tokens, request.sampling) == (64, SamplingParams())


async def test_a_server_may_lend_our_model_its_tools(tmp_path: Path) -> None:
    models = Models(["Let me look. ", scripted_call("weather", city="Oslo")], "Yes.")
    server = asking(protocol="legacy", sampling="allow")

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path, get_model=models) as host:
            await host.wait_ready()
            said = text_of(await call(host, "x__forecast", {"city": "Oslo"}))

    assert said == (
        'endTurn: {"content":[{"type":"text","text":"Yes.","annotations":null,"meta":null}]}'
    )
    first, second = models.model.requests
    assert [(tool.name, tool.parameters) for tool in first.tools] == [
        ("weather", {"type": "object", "properties": {"city": {"type": "string"}}})
    ]
    assert first.tool_choice == ToolChoice("auto")
    asked = ToolCall("call_1", "weather", '{"city": "Oslo"}')
    assert second.messages == (
        Message.user("Umbrella in Oslo?"),
        Message.assistant("Let me look. ", (asked,)),
        Message("tool", (TextPart("rain in Oslo"),), tool_call_id="call_1", name="weather"),
    )


@ERAS
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_person_is_asked_before_our_model_is(
    tmp_path: Path, protocol: str, agrees: bool
) -> None:
    person, models = Decided(agrees=agrees), Models("Short.")
    server = asking(protocol=protocol, sampling="ask")

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path, get_model=models, person=person) as host:
            await host.wait_ready()
            if agrees:
                await call(host, "x__summarise", {"text": "Long."})
            else:
                output = ToolOutput(())
                try:
                    output = await call(host, "x__summarise", {"text": "Long."})
                except ToolError as error:
                    output = ToolOutput((TextPart(str(error)),), is_error=True)
                assert output.is_error
                assert "the user declined" in text_of(output)

    system, question = Message.system("Be brief."), Message.user("Summarise: Long.")
    assert person.asked == [SamplingApproval("x", (system, question), 64)]
    assert len(models.model.requests) == agrees


@pytest.mark.parametrize(
    ("keys", "declared"),
    [
        ({"sampling": "deny", "elicitation": "deny"}, "{}"),
        (
            {"sampling": "ask"},
            '{"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}',
        ),
    ],
)
async def test_a_server_is_told_only_what_it_may_ask(
    tmp_path: Path, keys: dict[str, str], declared: str
) -> None:
    with anyio.fail_after(seconds(15)):
        async with hosting(
            {"x": asking(**keys)}, tmp_path, get_model=Models(), person=Decided()
        ) as host:
            await host.wait_ready()
            assert text_of(await call(host, "x__capabilities")) == declared


async def test_with_nobody_to_ask_there_is_nothing_to_ask_for(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(15)):
        async with hosting({"x": asking(sampling="ask")}, tmp_path, get_model=Models()) as host:
            await host.wait_ready()
            assert text_of(await call(host, "x__capabilities")) == "{}"


async def test_sampling_in_a_loop_ends_when_the_budget_is_spent(tmp_path: Path) -> None:
    models = Models(*["again"] * (2 * REQUESTS_PER_CALL))
    server = asking(protocol="legacy", sampling="allow")

    with anyio.fail_after(seconds(20)):
        async with hosting({"x": server}, tmp_path, get_model=models) as host:
            await host.wait_ready()
            said = [text_of(await call(host, "x__nag")) for _ in range(2)]

    spent = "10 answers, then: the budget of 10 sampling requests per call is spent"
    assert said == [spent, spent]


async def test_a_server_may_not_sample_on_its_own(tmp_path: Path) -> None:
    models = Models("never")
    server = faulty("samples_on_its_own", sampling="allow")

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path, get_model=models) as host:
            await host.wait_ready()
            said = text_of(await call(host, "x__ping"))

    assert said == "sampling is only allowed during a tool call"
    assert models.model.requests == []


@ERAS
async def test_a_person_fills_in_a_form(tmp_path: Path, protocol: str) -> None:
    """What is left open gets the form's default; the question holds nothing invisible."""
    person = Decided(FormAnswer("accept", {"city": "Oslo"}))

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": asking(protocol=protocol)}, tmp_path, person=person) as host:
            await host.wait_ready()
            said = text_of(await call(host, "x__travel"))

    assert said == "accept Trip(city='Oslo', nights=2)"
    (form,) = person.asked
    assert isinstance(form, FormElicitation)
    assert (form.server, form.message) == ("x", "Where to?")
    assert form.schema["required"] == ["city"]


@ERAS
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_person_may_decline_or_cancel(
    tmp_path: Path, protocol: str, action: ElicitAction
) -> None:
    person = Decided(FormAnswer(action))

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": asking(protocol=protocol)}, tmp_path, person=person) as host:
            await host.wait_ready()
            assert text_of(await call(host, "x__travel")) == f"{action} None"


@ERAS
async def test_a_call_does_not_run_out_of_time_while_a_person_thinks(
    tmp_path: Path, protocol: str
) -> None:
    person = Decided(FormAnswer("accept", {"city": "Oslo"}), hesitates_seconds=2.5)
    server = asking(protocol=protocol, timeout=2)

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path, person=person) as host:
            await host.wait_ready()
            assert text_of(await call(host, "x__travel")).startswith("accept")


@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
async def test_a_person_is_sent_to_a_page_first(tmp_path: Path, action: ElicitAction) -> None:
    person = Decided(visits=action)

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": asking(protocol="legacy")}, tmp_path, person=person) as host:
            await host.wait_ready()
            if action == "accept":
                assert text_of(await call(host, "x__sign_up")) == "signed up"
            else:
                with pytest.raises(ToolError, match="refused the call: sign up"):
                    await call(host, "x__sign_up")

    assert person.asked == [
        UrlElicitation("x", "Sign up first.", "https://example.com/sign-up?id=1")
    ]


@ERAS
async def test_a_server_is_told_its_folders(tmp_path: Path, protocol: str) -> None:
    folder = tmp_path / "my files"
    server = asking(protocol=protocol, roots=[str(folder)])

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            assert text_of(await call(host, "x__folders")) == folder.as_uri()


@ERAS
async def test_what_a_server_logs_goes_into_its_file(tmp_path: Path, protocol: str) -> None:
    with anyio.fail_after(seconds(15)):
        async with hosting({"x": asking(protocol=protocol)}, tmp_path) as host:
            await host.wait_ready()
            await call(host, "x__log", {"text": "two\nlines"})
            await until(lambda: "[info] two lines\n" in (tmp_path / "x.log").read_text())


async def test_tools_are_called_as_the_policy_says(tmp_path: Path) -> None:
    person = Decided(agrees=False)
    server = faulty(
        "paged",
        tools={"allow": ["tool*"], "deny": ["tool4"]},
        policy={"tool0": "deny", "tool1": "ask", "tool2": "ask", "*2": "allow"},
    )

    with anyio.fail_after(seconds(10)):
        async with hosting({"x": server}, tmp_path, person=person) as host:
            await host.wait_ready()
            assert list(tools(host)) == ["x__tool1", "x__tool2", "x__tool3"]
            with pytest.raises(ToolError, match="the user did not agree to this call of tool1"):
                await call(host, "x__tool1", {"a": 1})
            assert text_of(await call(host, "x__tool2")) == "pong"

    assert person.asked == [ToolApproval("x", "tool1", {"a": 1})]
