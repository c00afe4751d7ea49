"""Extracts from a program's stderr why it exited, ignoring stack frames, usage and advice.

After the reason, Node, Go, Java, .NET, Ruby, Python, Rust, npm and command line libraries print
more text than the reason itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MAX_LINES = 4
_MAX_LINE_LENGTH = 240
_MAX_READ = 1000
"""Characters of a line that are examined."""

_FRAME = re.compile(
    r"""
    \s+at\ .* | \s+\.\.\.\ \d+\ (?:more|common).* | \s*from\ \S+:\d+:?.*  # JavaScript, Java, Ruby
  | \s*File\ ".*",\ line\ \d+.* | Traceback\b.* | During\ handling\ of.*          # Python
  | The\ above\ exception.* | [|+\s]*-[-+\d\s]* | \s*[~^]+\s*
  | goroutine\ \d+.* | [\w./*()\[\]-]+\([^:]*\)(?:\ in\ goroutine.*)? | \t?/\S+\.go:\d+.*   # Go
  | created\ by\ \S+.* | exit\ status\ \d+ | \[?signal\ (?:terminated|killed).*
  | \s*---\ End\ of\ .*                                                            # .NET
  | note:\ .*BACKTRACE.* | stack\ backtrace:.*                                     # Rust
  | \s*\d+:\ +0x[0-9a-f]+.* | \s*\d+:\ [\w<>{}\ ]*::[\w:<>{}\ ]*
  | (?:file://|node:|/|[A-Za-z]:\\)\S*:\d+(?::\d+)? | Node\.js\ v.* | Bun\ v.*     # Node's headings
  | \s*(?:throw\ \w+;?|\}|\]|\{|\},?|code:\ '[A-Z_]+',?|requireStack:.*)
  | \s+(?:errno|syscall|address|port|spawnargs|signal|path):.*
  | npm\ (?:notice|warn|WARN).* | npm\ (?:error|ERR!)\s*(?:\d+|[A-Z]\d+)?\s*
  | npm\ (?:error|ERR!).*(?:complete\ log|-debug|Note\ that\ you\ can|tarball,\ folder).*
  | For\ more\ information.* | Use\ ".*"\ for\ more.* | Run\ '?".*--help.*
    """,
    re.VERBOSE,
)
"""Lines that contain no reason."""
_CAUSE = re.compile(r"\s*Caused by: \S")
_USAGE = re.compile(r"usage:", re.IGNORECASE)
_SECTION = re.compile(
    r"(?:global |available |inherited )?"
    r"(?:flags|options|commands|examples?|arguments|subcommands|aliases)\b.*:\s*",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"""
    error\b | \bERR! | exception\b | panic | fatal | fail(?:ed|s|ure)?\b | cannot\b | can't\b
  | (?:could|did|does|do|was|were|is|are)(?:\ not|n't)\b | unable\b | denied | refused | missing
  | required | not\ (?:found|set|defined|installed|exist|valid|in\ this) | no\ such | invalid
  | must\b | undefined | unhandled | unknown | unexpected | unsupported | expired | SIG[A-Z]{3,}
  | \bE[A-Z]{4,}\b | timed\ out | already\ in\ use | abort
    """,
    re.IGNORECASE | re.VERBOSE,
)


def exit_reason(stderr: str) -> str:
    """Return the lines with the reason, at most four, joined to one; empty if stderr is empty."""
    written = [line[:_MAX_READ] for line in stderr.splitlines()]
    lines = _without_frames(written) or [line for line in written if line.strip()][-1:]
    shown = [_shortened(line) for line in _reason(lines)]
    return " | ".join(dict.fromkeys(shown))


def _without_frames(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    is_usage = is_after_file = False
    for line, after in zip(lines, [*lines[1:], ""], strict=False):
        bare = line.strip()
        is_indented = line[:1].isspace()
        is_usage = bool(_USAGE.match(bare)) or (
            is_usage and (not bare or is_indented or bool(_SECTION.fullmatch(bare)))
        )
        is_source = bool(after.strip()) and not after.strip("\t ^~")  # underlined code
        is_source = is_source or (is_after_file and is_indented)
        is_after_file = bare.startswith('File "')
        if bare and not (is_usage or is_source or _FRAME.fullmatch(line)):
            kept.append(line)
    return kept


def _reason(lines: Sequence[str]) -> Sequence[str]:
    """The last consecutive lines that mention an error, or just the last lines."""
    telling = [bool(_REASON.search(line)) for line in lines]
    if True not in telling:
        return lines[-3:]
    end = len(lines) - telling[::-1].index(True)
    begin = end - 1
    while begin and any(telling[max(0, begin - 2) : begin]):  # allows one line in between
        begin -= 1
    caused = [i for i in range(begin, end) if _CAUSE.match(lines[i])]
    begin = caused[-1] if caused else begin
    if lines[end - 1].rstrip().endswith(":"):  # the reason follows
        end = min(end + 1, len(lines))
    row = lines[begin:end]
    return row if len(row) <= _MAX_LINES else [*row[: _MAX_LINES - 1], row[-1]]


def _shortened(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= _MAX_LINE_LENGTH else f"{text[:_MAX_LINE_LENGTH]}…"
