"""File paths in canonical form: absolute, without ``.`` and ``..``, with symlinks resolved.

Symlinks are resolved on this machine. The path as written is also compared, since a server may run
elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from os.path import normpath, realpath
from pathlib import Path
from urllib.parse import unquote

from kronk_agent.tools.policy.globs import matches_path

MAX_PATH_CHARS = 4096
"""Maximum length of a path that operating systems accept."""
_IS_PATH = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]")
_FILE_URL = re.compile(r"\s*file:(?://[^/\\]*)?", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?]")


def is_path_pattern(glob: str) -> bool:
    """True if the glob begins like a path: ``/``, ``~``, ``./``, ``../`` or a drive."""
    return _IS_PATH.match(glob) is not None


def matches_file(text: str, glob: str, folders: Sequence[Path], *, is_exact: bool) -> bool:
    """True if a path matches a glob.

    Args:
        text: the path, or a file URL.
        glob: for an absolute path, a path in one of the folders, or beginning with ``*``.
        folders: base directories of relative paths.
        is_exact: every spelling of the path must match; otherwise one is enough.
    """
    spellings = list(dict.fromkeys(_spellings(text, folders, is_exact=is_exact)))
    globs = dict.fromkeys(_globs(glob, folders, is_exact=is_exact))
    return bool(spellings) and any(
        matches_path(spellings, each, is_exact=is_exact) for each in globs
    )


def _spellings(text: str, folders: Sequence[Path], *, is_exact: bool) -> Iterator[str]:
    text = text.replace("\0", "")
    if url := _FILE_URL.match(text):
        text = unquote(text[url.end() :])
    if not is_exact:
        text = text.strip().replace("\\", "/")
    absolute = [*_in_folders(text, folders)]
    if not is_exact or not absolute:
        yield _posix(normpath(text))
    for path in absolute:
        yield _posix(normpath(path))
        yield _posix(realpath(path))


def _globs(glob: str, folders: Sequence[Path], *, is_exact: bool) -> Iterator[str]:
    if _WILDCARD.match(glob):
        yield glob
        return
    absolute = [*_in_folders(glob, folders)]
    end = "/" if glob.endswith("/") else ""
    if not is_exact or not absolute:
        yield _posix(normpath(glob)) + end
    for path in absolute:
        yield _posix(normpath(path)) + end
        if not is_exact:  # not for allow: a symlink could redirect an allowed folder
            begin, slash, rest = _split(path)
            yield _posix(realpath(begin)) + slash + rest


def _in_folders(path: str, folders: Sequence[Path]) -> Iterator[str]:
    path = path.replace("\0", "")
    with suppress(RuntimeError):  # unknown user
        path = str(Path(path).expanduser())
    if Path(path).is_absolute():
        yield path
    else:
        yield from (str(Path(realpath(folder), path)) for folder in folders)


def _split(glob: str) -> tuple[str, str, str]:
    """Split into the directories before the first wildcard, the slash, and the rest."""
    wildcard = _WILDCARD.search(glob)
    if wildcard is None:
        return glob, "", ""
    begin, slash, name = glob[: wildcard.start()].rpartition("/")
    return begin or "/", slash if begin else "", name + glob[wildcard.start() :]


def _posix(path: str) -> str:
    """Convert to slashes, with a single leading slash."""
    path = path.replace(os.sep, "/")
    return "/" + path.lstrip("/") if path.startswith("/") else path
