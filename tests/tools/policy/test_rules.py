"""What a rule says of a call, by the values of its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools import Permission, Rule
from kronk_agent.tools.policy import permission, rules_in

URI: JsonObject = {"properties": {"page": {"type": "string", "format": "uri"}}}


def said(rule: str, arguments: JsonObject, schema: JsonObject | None = None) -> Permission:
    return permission(rules_in({rule: "deny"}), "x", arguments, schema=schema)


def allows(rule: str, arguments: JsonObject) -> bool:
    rules = rules_in({"*": "ask", rule: "allow"})
    return permission(rules, "x", arguments) == "allow"


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        ("x(n=1)", {"n": 1}),
        ("x(n=1)", {"n": 1.0}),
        ("x(n=1.0)", {"n": 1}),
        ("x(n=1e2)", {"n": 100}),
        ("x(n=0.10)", {"n": 0.1}),
        ("x(n=12*)", {"n": 123.0}),
        ("x(n=true)", {"n": True}),
        ("x(n=null)", {"n": None}),
        ("x(name=caf\u00e9)", {"name": "cafe\u0301"}),
        ("x(name=cafe\u0301)", {"name": "caf\u00e9"}),
        ("x(name=CAF\u00c9*)", {"name": "cafe\u0301s"}),
        ("x(caf\u00e9=1)", {"cafe\u0301": 1}),
        ("x(name=[a])", {"name": "[a]"}),
        ("x(a.b=1)", {"a.b": 1}),
        ("x(a.b=1)", {"a": {"b": 1}}),
        ("x(a.b.c=1)", {"a.b": {"c": 1}}),
        ("x(a.b.c=1)", {"a": {"b.c": [2, 1]}}),
        ("x(a.b=1)", {"a.b": 2, "a": {"b": 1}}),
        ("x(\u00e9=1)", {"e\u0301": 1, "\u00e9": 2}),
        ("x(\u00e9=1)", {"\u00e9": 1, "e\u0301": 2}),
        ('x(o={"a": 1})', {"o": {"a": 1}}),
    ],
)
def test_values_that_mean_the_same_are_the_same(rule: str, arguments: JsonObject) -> None:
    assert said(rule, arguments) == "deny"


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        ("x(n=1)", {"n": True}),
        ("x(n=1)", {"n": 11}),
        ("x(n=1)", {"m": 1}),
        ("x(name=[a])", {"name": "a"}),
        ("x(url.host=a)", {"url": {"path": "a"}}),
    ],
)
def test_other_values_are_not(rule: str, arguments: JsonObject) -> None:
    assert said(rule, arguments) == "allow"


@pytest.mark.parametrize(
    ("rule", "url"),
    [
        ("x(url=https://*.example.com)", "https://docs.example.com/a?b=c"),
        ("x(url=https://*.example.com/*)", "https://docs.example.com/a/b"),
        ("x(url=https://*.example.com/*)", "HTTPS://Docs.Example.com:443/a"),
        ("x(url=https://b\u00fccher.example/*)", "https://xn--bcher-kva.example/a"),
        ("x(url=https://a.example/find?q=*)", "https://a.example/find?q=tea"),
        ("x(url=http://a.example:8080/*)", "http://a.example:8080/x"),
        ("x(url=*.example.com/*)", "http://docs.example.com/a"),
        ("x(url=*://a.example)", "http://a.example/"),
        ("x(url=*)", "https://anything.example/?x"),
        ("x(url.host=*.example.com)", "https://docs.example.com:8443/?x"),
        ("x(url.path=/docs/*)", "https://a.example/docs/x"),
        ("x(url=docs://*)", "docs://a/b"),
        ("x(url=*docs*)", "docs://a/b"),
        ("x(url=*.example.com/*)", "docs.example.com/a"),
    ],
)
def test_an_allowed_address_is_allowed(rule: str, url: str) -> None:
    assert allows(rule, {"url": url})


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        ("x(url=https://intranet.*)", {"url": "http://intranet.corp:8080/x?y#z"}),
        ("x(url=https://a.example/)", {"url": "https://a.example/any"}),
        ("x(url=https://a.example/x)", {"url": "https://a.example/x?y=1"}),
        ("x(url=*intranet*)", {"url": "https://%69ntranet.corp/"}),
        ("x(url=*.example)", {"url": "https://evil.example/a"}),
        ("x(url.host=a.example)", {"url": "https://u:p@A.example./x"}),
        ("x(url.path=/admin/*)", {"url": "https://a.example/x/../Admin/y"}),
        ("x(url.port=22)", {"url": "http://a.example:22/"}),
        ("x(url.query=*token*)", {"url": "http://a.example/?%74oken=1"}),
        ("x(urls=https://a.example)", {"urls": ["https://b.example", "http://a.example/x"]}),
        ("x(path=/etc/*)", {"path": "file:///etc/%70asswd"}),
        ("x(url=file:///etc/*)", {"url": "file:///x/../etc/passwd"}),
    ],
)
def test_what_a_deny_pattern_leaves_out_may_be_anything(rule: str, arguments: JsonObject) -> None:
    assert said(rule, arguments) == "deny"


def test_a_format_of_the_schema_says_that_a_value_is_an_address() -> None:
    arguments: JsonObject = {"page": "Intranet。Corp/x"}

    assert said("x(page=intranet.corp*)", arguments, URI) == "deny"
    assert said("x(page=intranet.corp*)", arguments) == "allow"


_TEXTS = st.text() | st.sampled_from(
    (
        "http://[",
        "http://a:b:c/",
        "//",
        "file://",
        "~nobody/x",
        "\x00",
        "\ud800",
        "http://\ud800",
        "*",
    )
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXTS, inner),
)
_GLOBS = _TEXTS | st.sampled_from(
    ("http://[", "https://*:x/", "*://*", "/*", "~x/*", "1e999", "nan")
)


@settings(deadline=None)
@given(value=_VALUES, glob=_GLOBS, name=st.sampled_from(("url", "path", "n", "url.host", "n.url")))
def test_nothing_a_call_has_makes_a_rule_fail(value: JsonValue, glob: str, name: str) -> None:
    arguments: JsonObject = {"url": value, "path": value, "n": value}

    for said in ("allow", "ask", "deny"):
        rule = Rule(said, argument=name, value=glob)
        assert permission([rule], "x", arguments) in ("allow", "ask", "deny")


def test_relative_paths_begin_in_the_folders_of_the_tool(tmp_path: Path) -> None:
    inside, rules = tmp_path / "inside", {"*": "ask", f"x(path={tmp_path}/inside/*)": "allow"}
    inside.mkdir()

    def of(path: str, folders: list[Path]) -> Permission:
        found = rules_in({name: "ask" if name == "*" else "allow" for name in rules})
        return permission(found, "x", {"path": path}, folders=folders)

    assert of("notes.txt", [inside]) == "allow"
    assert of("../notes.txt", [inside]) == "ask"
    assert of("notes.txt", [tmp_path]) == "ask"
    assert of("notes.txt", []) == "ask"


def test_the_examples_of_the_readme_say_what_it_says() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    block = readme.split("```yaml\npolicy:\n", 1)[1].split("```", 1)[0]
    rules = rules_in(YAML(typ="safe").load(block))

    def of(tool: str, **arguments: str) -> Permission:
        return permission(rules, tool, {**arguments})

    assert of("files__write", path="x") == "ask"
    assert of("files__read", path="x") == "allow"
    assert (
        of("files__read", path="~/.ssh/id") == of("files__write", path="~/x/../.ssh/id") == "deny"
    )
    for url in ("https://intranet.corp", " http://INTRANET。corp/x", "https://intra\tnet.corp./"):
        assert of("web_fetch", url=url) == "deny"
    assert of("web_fetch", url="http://docs.example.com/a?b") == "ask"
    assert of("web_fetch", url="https://other.example/?.example.com") == "allow"
