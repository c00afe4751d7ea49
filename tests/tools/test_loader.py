"""Tools named in the YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from kronk_agent.errors import ConfigError
from kronk_agent.messages import TextPart
from kronk_agent.testing import invoke
from kronk_agent.tools import ToolOutput
from kronk_agent.tools.loader import load_tool

MY_TOOLS = '''
from dataclasses import dataclass

from kronk_agent import tool

calls = []


@dataclass
class Size:
    """What sizes are."""

    width: int
    height: int


def area(size: Size) -> int:
    """Area of a rectangle."""
    calls.append(size)
    return size.width * size.height


@tool(name="count_calls")
def count() -> int:
    """How often area was called."""
    return len(calls)


limit = 3
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_tools.py").write_text(MY_TOOLS, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    return tmp_path


async def test_functions_of_a_file_become_tools_that_share_its_module(folder: Path) -> None:
    area = load_tool("./my_tools.py:area", base_dir=folder)
    count = load_tool("my_tools.py:count", base_dir=folder)

    arguments = area.parse_arguments('{"size": {"width": 3, "height": 4}}')
    result = await invoke(area, arguments)

    assert (area.name, area.description) == ("area", "Area of a rectangle.")
    assert result == ToolOutput((TextPart("12"),))
    assert count.name == "count_calls"
    assert await invoke(count) == ToolOutput((TextPart("1"),))


async def test_a_function_of_an_installed_module_becomes_a_tool(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tool rgb_to_hls: r has no type annotation"):
        load_tool("colorsys:rgb_to_hls", base_dir=tmp_path)
    assert load_tool("platform:system", base_dir=tmp_path).name == "system"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "web_serch",
            "tools: unknown tool 'web_serch': must be web_search, web_fetch, module:function or "
            "./file.py:function",
        ),
        ("./none.py:f", "tools: './none.py:f': file not found: {folder}/none.py"),
        (
            "my_tools.py:areas",
            "tools: 'my_tools.py:areas': areas not found in it: did you mean area?",
        ),
        ("my_tools.py:limit", "tools: 'my_tools.py:limit': limit is not a function"),
        (
            "broken.py:f",
            "tools: 'broken.py:f' cannot be imported: ModuleNotFoundError: No module named "
            "'nothing_of_this_name' (see --debug)",
        ),
        (
            "no_such_module:f",
            "tools: 'no_such_module:f' cannot be imported: ModuleNotFoundError: No module named "
            "'no_such_module' (see --debug)",
        ),
    ],
)
def test_a_spec_that_cannot_be_had_says_why(folder: Path, spec: str, message: str) -> None:
    with pytest.raises(ConfigError) as info:
        load_tool(spec, base_dir=folder)
    assert str(info.value) == message.format(folder=folder)
