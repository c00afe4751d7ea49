"""Hold back a call that repeats an earlier call of its turn."""

from __future__ import annotations

from kronk_agent.messages import Delta, ToolCallArguments, ToolCallEnd, ToolCallStart


class RepeatFilter:
    """Passes deltas on, except those of a call with the name and arguments of an earlier call.

    The deltas of a call are held while its arguments start like those of an earlier call to the
    same tool, and passed on once they differ.
    """

    def __init__(self) -> None:
        self.has_found = False
        """True once a call was a repeat; none of its deltas was passed on."""
        self._calls: dict[str, list[str]] = {}
        """Arguments of complete calls, by tool."""
        self._name = ""
        self._arguments: list[str] = []
        self._length = 0
        self._candidates: list[str] = []
        """Earlier arguments that start like the current ones."""
        self._held: list[Delta] = []

    def push(self, delta: Delta) -> list[Delta]:
        """Add a delta and return the deltas to pass on now."""
        match delta:
            case ToolCallStart(name=name):
                self._name, self._arguments, self._length = name, [], 0
                self._candidates = self._calls.get(name, [])
            case ToolCallArguments(fragment=fragment):
                self._narrow(fragment)
            case ToolCallEnd():
                arguments = "".join(self._arguments)
                if arguments in self._candidates:
                    self.has_found = True
                    self._held = []
                    return []
                self._calls.setdefault(self._name, []).append(arguments)
                self._candidates = []
            case _:
                pass
        self._held.append(delta)
        return [] if self._candidates else self.flush()

    def flush(self) -> list[Delta]:
        """Return the held deltas, when a turn was cut off inside a call."""
        held, self._held = self._held, []
        return held

    def _narrow(self, fragment: str) -> None:
        self._candidates = [c for c in self._candidates if c.startswith(fragment, self._length)]
        self._arguments.append(fragment)
        self._length += len(fragment)
