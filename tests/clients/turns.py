"""What the scripted model does in place of a real one: for each kind of client, a turn."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, call
from kronk_agent.tools import Tool

MARK = "kronk-42"
QUESTION = f"Run the shell command `echo {MARK}` and tell me its output."
DONE = f"round trip of {MARK} complete"
PAGE_URL = "https://tea.example/"
TO_EDIT = "tea.txt"
"""A file that the model edits; it holds TO_REPLACE."""
TO_REPLACE = "Nothing was done."
_SHELLS = (
    "Bash",
    "bash",
    "exec_command",
    "shell",
    "run_shell_command",
    "run_commands",
    "echo",
)
_EDIT = f"""Here it is.

{TO_EDIT}
```
<<<<<<< SEARCH
{TO_REPLACE}
=======
{DONE}
>>>>>>> REPLACE
```
"""


def shell_turn(request: ChatRequest) -> Piece:
    """Call the shell there is; say what it said."""
    last = request.messages[-1]
    if last.role == "tool":
        return DONE if MARK in last.text else f"The tool failed: {last.text}"
    shell = next((tool for tool in request.tools if tool.name.endswith(_SHELLS)), None)
    return "A title" if shell is None else call(shell.name, **_arguments(shell))


def answering_turn(request: ChatRequest) -> Piece:
    """Call the shell, and say what it said by a call too, as smolagents wants it."""
    said = next((m.text for m in request.messages if m.role == "tool"), "")
    said = said or next((m.text for m in request.messages[2:] if MARK in m.text), "")
    return call("final_answer", answer=DONE) if MARK in said else shell_turn(request)


def submitting_turn(request: ChatRequest) -> Piece:
    """Call the shell, and hand in what it said by a command too, as mini-swe-agent wants it."""
    if MARK not in request.messages[-1].text or request.messages[-1].role != "tool":
        return shell_turn(request)
    return call("bash", command=f"echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo {DONE}")


def editing_turn(request: ChatRequest) -> Piece:
    """Answer with an edit of the file that is to be edited, as aider wants it."""
    return _EDIT


def search_turn(request: ChatRequest) -> Piece:
    """Search with whatever searches, then say what was found."""
    last = request.messages[-1]
    if last.role == "tool":
        return f"{DONE} [1]" if "tea.example" in last.text else f"Found nothing: {last.text}"
    for tool in request.tools:
        if tool.name in ("WebSearch", "web_search"):
            return call(tool.name, query="tea")
    return "A title"


def _arguments(tool: Tool) -> JsonObject:
    properties, required = tool.parameters.get("properties"), tool.parameters.get("required")
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    return {str(name): _value(str(name), properties[str(name)]) for name in required}


def _value(name: str, schema: JsonValue) -> JsonValue:
    kind = schema.get("type") if isinstance(schema, dict) else None
    match name, kind:
        case _, "boolean":
            return False
        case "commands", _:
            return [f"echo {MARK}"]
        case _, "array":
            return ["bash", "-lc", f"echo {MARK}"]
        case (("command" | "cmd" | "text"), _):
            return f"echo {MARK}"
        case _:
            return "Echoes"
