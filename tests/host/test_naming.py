from __future__ import annotations

import pytest

from kronk_agent.host.tools.naming import server_prefix, tool_names

LONG = "x" * 80


@pytest.mark.parametrize(
    ("server", "tools", "names"),
    [
        ("time", ["now", "zone-2_b"], ["time__now", "time__zone-2_b"]),
        ("fs", ["read.file"], ["fs__read_file"]),
        ("fs", ["read file", "read_file"], ["fs__read_file_1214148e", "fs__read_file"]),
        ("fs", ["a b", "a.b"], ["fs__a_b_c8687a08", "fs__a_b_2e7336dc"]),
        ("fs", ["données"], ["fs__donn_es"]),
        ("fs", [LONG], ["fs__" + "x" * 51 + "_d929cdee"]),
        ("fs", ["", "_"], ["fs__", "fs___"]),
        ("my__server", ["x"], ["my_server_71b7eefd__x"]),
        ("tail_", ["x"], ["tail_9c018191__x"]),
    ],
)
def test_names_are_safe_and_say_where_they_come_from(
    server: str, tools: list[str], names: list[str]
) -> None:
    assert tool_names(server, tools) == dict(zip(names, tools, strict=True))


def test_no_name_is_longer_than_64() -> None:
    names = tool_names("s" * 32, [LONG, LONG + "y", "." * 100])

    assert {len(name) for name in names} == {64}
    assert len(names) == 3


def test_servers_cannot_take_each_others_names() -> None:
    """``a`` could offer ``b__c`` and ``a__b`` offer ``c``; so could ``a_`` and ``a``."""
    servers = {"a": "b__c", "a__b": "c", "a_": "c", "a_b": "c"}

    names = [name for server, tool in servers.items() for name in tool_names(server, [tool])]

    assert len(set(names)) == len(servers)
    prefixes = [server_prefix(server) for server in servers]
    assert [name.partition("__")[0] for name in names] == prefixes
