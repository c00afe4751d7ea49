from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from chat.support import HERMES_TEMPLATE, make_tool

from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.errors import InvalidRequestError, ModelError
from kronk_agent.messages import ImagePart, Message, TextPart, ToolCall

HELLO = Message.user("Hello")


def render(source: str, *messages: Message, **options: str) -> str:
    return ChatTemplate({"default": source}, **options).render(messages or (HELLO,)).text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ messages[0].content }}", "Hello"),
        ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
        ("{% if add_generation_prompt %}go{% endif %}", "go"),
        ("  {% if true %}\n  a\n  {% endif %}\nb", "  a\nb"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}{{ messages[0].role }}{% endgeneration %}", "user"),
        ("{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}", "2"),
        ("{{ strftime_now('%Y-%m-%d') }}", str(date.today())),
        (
            "{{ {'é': [1, '<b>', '&\"', none, true]} | tojson }}",
            '{"é": [1, "<b>", "&\\"", null, true]}',
        ),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=2) }}", '{\n  "b": 1,\n  "a": 2\n}'),
        ("{{ [1, 2] | tojson(separators=(',', ':')) }}", "[1,2]"),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}", '{"a": 2, "b": 1}'),
        ("{{ 'é' | tojson(ensure_ascii=true) }}", '"\\u00e9"'),
        ("{{ messages | map(attribute='role') | tojson }}", '["user"]'),
        ("{{ tools is defined }} {{ tools }}", "False "),
        ("{{ '<b>' | safe + messages[0].content + '<i>' }}", "<b>Hello<i>"),
        ("{{ ('<' | e) ~ '<' }}", "&lt;<"),
    ],
)
def test_templates_have_hugging_faces_functions(source: str, expected: str) -> None:
    assert render(source, bos_text="<s>", eos_text="</s>") == expected


def test_a_templates_exception_is_reported_with_its_message() -> None:
    source = "{{ raise_exception('Roles must alternate, not ' + messages[0].content) }}"
    template = ChatTemplate({"default": source}, special_texts=["<s>"])

    with pytest.raises(InvalidRequestError, match="Roles must alternate, not <s>") as caught:
        template.render([Message.user("<s>")])
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "source", ["{{ messages[7].content.upper() }}", "{{ 'a' + 1 }}", "{{ messages[0] | nothing }}"]
)
def test_a_failing_template_is_an_error_of_the_request_or_the_model(source: str) -> None:
    with pytest.raises((InvalidRequestError, ModelError), match="chat template"):
        render(source)


def test_a_template_has_no_access_outside_the_sandbox() -> None:
    with pytest.raises(InvalidRequestError):
        render("{{ messages.__class__.__base__.__subclasses__() }}")


def test_a_templates_changes_to_its_variables_stay_inside() -> None:
    message = Message.assistant("", (ToolCall("1", "look", '{"at": []}'),))
    source = (
        "{% set _ = messages[0].tool_calls[0].function.arguments['at'].append(1) %}{{ messages }}"
    )
    template = ChatTemplate({"default": source})

    assert template.render([message]).text.count("[1]") == 1
    assert template.render([message]).text.count("[1]") == 1


@pytest.mark.parametrize(
    ("sources", "expected"),
    [({}, "has no chat template"), ({"default": "a\n{% if %}"}, "error in line 2")],
)
def test_a_model_without_a_usable_template_is_refused(
    sources: dict[str, str], expected: str
) -> None:
    with pytest.raises(ModelError, match=expected):
        ChatTemplate(sources)


def test_requests_with_tools_use_the_variant_for_tools() -> None:
    template = ChatTemplate({"default": "plain", "tool_use": "{{ tools[0].function.name }}"})

    assert template.shows_tools
    assert template.render([HELLO]).text == "plain"
    assert template.render([HELLO], [make_tool("look")]).text == "look"


@pytest.mark.parametrize(
    ("source", "expected"),
    [(HERMES_TEMPLATE, True), ("{% for m in messages %}{{ m.content }}{% endfor %}", False)],
)
def test_tool_support_is_found_by_probing(source: str, expected: bool) -> None:
    assert ChatTemplate({"default": source}).shows_tools is expected


@pytest.mark.parametrize(
    "source",
    [
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
def test_a_system_message_without_a_place_joins_the_user_message(source: str) -> None:
    template = ChatTemplate({"default": source})

    assert not template.capabilities.has_system
    rendered = template.render([Message.system("Be brief."), HELLO, Message.assistant("Hi")])
    assert rendered.text == "[user]Be brief.\n\nHello[assistant]Hi"
    assert template.render([Message.system("Be brief.")]).text == "[user]Be brief."


CALLS = (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }} ARGUMENTS"
    "{% endfor %}{% endfor %}"
)
CALL = Message.assistant("", (ToolCall("1", "look", '{"at": "é"}'),))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("{{ c.function.arguments | tojson }}", 'look {"at": "é"}'),
        ("{{ '```json\\n' + c.function.arguments + '\\n```' }}", 'look ```json\n{"at": "é"}\n```'),
        ("{% for k, v in c.function.arguments | items %}{{ k }}={{ v }}{% endfor %}", "look at=é"),
    ],
)
def test_arguments_have_the_format_the_template_expects(arguments: str, expected: str) -> None:
    assert render(CALLS.replace("ARGUMENTS", arguments), HELLO, CALL) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{% if m.content is not none %}[{{ m.content }}]{% endif %}", "[Hello]"),
        ("{{ '[' + m.content + ']' }}", "[Hello][]"),
        ("[{{ m.content }}]", "[Hello][]"),
    ],
)
def test_the_content_of_a_message_with_only_calls_is_what_the_template_expects(
    content: str, expected: str
) -> None:
    calls = "{{ m.tool_calls | map(attribute='function') | list | tojson if m.tool_calls else '' }}"
    source = f"{{% for m in messages %}}{content}{{# {{}} #}}{calls}{{% endfor %}}"

    rendered = render(source, HELLO, CALL)
    assert rendered == expected + '[{"name": "look", "arguments": {"at": "é"}}]'


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"at": ', "{}"),
        ('{"at": "the riv', '{"at": "the riv"}'),
        ('{"at": "home", "days": [1, 2', '{"at": "home", "days": [1, 2]}'),
        ("", "{}"),
        ("[1]", '{"arguments": "[1]"}'),
        ("at home", '{"arguments": "at home"}'),
    ],
)
def test_arguments_that_are_not_an_object_become_one(arguments: str, shown: str) -> None:
    broken = Message.assistant("", (ToolCall("1", "look", arguments),))

    for written in ("{{ c.function.arguments | tojson }}", "{{ '' + c.function.arguments }}"):
        source = CALLS.replace("ARGUMENTS", written)
        assert render(source, HELLO, broken) == f"look {shown}"


def test_everything_a_message_has_reaches_the_template() -> None:
    source = "{{ messages | tojson }}"
    call = ToolCall("id1", "look", "{}")
    asked = Message("assistant", (TextPart("Let me"), TextPart(" see")), "hm", (call,))
    told = Message("tool", (TextPart("grass"),), tool_call_id="id1", name="look")

    assert render(source, asked, told) == (
        '[{"role": "assistant", "content": "Let me see", "reasoning_content": "hm", "tool_calls": '
        '[{"id": "id1", "type": "function", "function": {"name": "look", "arguments": {}}}]}, '
        '{"role": "tool", "content": "grass", "tool_call_id": "id1", "name": "look"}]'
    )


def test_a_users_image_is_refused_and_a_tools_image_is_named() -> None:
    image = ImagePart(b"...", "image/png")
    template = ChatTemplate({"default": "{{ messages[0].content }}"})

    with pytest.raises(InvalidRequestError, match="user message has image/png"):
        template.render([Message("user", (TextPart("Look:"), image))])
    shot = Message("tool", (TextPart("Shot: "), image), tool_call_id="1", name="screenshot")
    assert template.render([shot]).text == "Shot: [image/png left out]"


def test_a_known_mistake_of_published_templates_is_corrected() -> None:
    source = r"""{{ "{{\"name\": <function-name>, \"arguments\": <args-json-object>}}" }}"""

    assert render(source) == '{"name": <function-name>, "arguments": <args-json-object>}'


NESTED = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (NESTED, "took more than"),
        ("{{ '%2000000000d' % 1 }}", "took more than 512 MiB of memory"),
        ("{{ 'a' * 30000000000 }}", "took more than 512 MiB of memory"),
        ("{{ messages[0].content * 200000000 }}", "took more than 512 MiB of memory"),
        ("{{ messages[0].content * 10000000 }}", "wrote more than 32000000 characters"),
        ("{% set x = 'a' %}" + "{% set x = x ~ x %}" * 60, "took more than 512 MiB of memory"),
        (
            "{% macro m(x) %}{{ m(x + 1) }}{{ m(x + 1) }}{% endmacro %}{{ m(0) }}",
            "maximum recursion depth exceeded|took more than",
        ),
    ],
)
def test_a_template_over_its_limits_is_killed_without_affecting_others(
    source: str, reason: str
) -> None:
    conditional = f"{{% if messages[0].content == 'bomb' %}}{source}{{% endif %}}ok"
    template = ChatTemplate({"default": conditional})

    with pytest.raises(InvalidRequestError, match=reason):
        template.render([Message.user("bomb")])

    assert template.render([HELLO]).text == "ok"


def test_probing_one_template_does_not_wait_for_another() -> None:
    endless, other = ChatTemplate({"default": NESTED}), ChatTemplate({"default": HERMES_TEMPLATE})
    ends: list[str] = []

    def probe() -> None:
        with pytest.raises(ModelError, match="chat template failed: it took more than"):
            _ = endless.capabilities
        ends.append("endless")

    with ThreadPoolExecutor() as threads:
        probing = threads.submit(probe)
        assert other.shows_tools
        ends.append("other")
        probing.result()

    assert ends == ["other", "endless"]


def test_an_untyped_property_gets_a_type_for_templates_that_need_one() -> None:
    source = (
        "{% for tool in tools or [] %}{% for name, p in tool.function.parameters.properties | items"
        " %}{{ name + ':' + p.type + ':' + p.description }};{% endfor %}{% endfor %}"
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    tool = make_tool(
        "go",
        properties={
            "to": {"type": "string", "description": "where"},
            "how": {"enum": ["on foot"]},
            "stops": {"items": {}},
            "by": {"anyOf": [{"type": "object"}]},
        },
    )

    prompt = ChatTemplate({"default": source}).render((HELLO,), (tool,))

    assert prompt.text == "to:string:where;how:string:;stops:array:;by:object:;Hello"
