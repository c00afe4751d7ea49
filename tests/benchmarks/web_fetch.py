"""How well web_fetch finds the main content of a page, beside its peers.

    python tests/benchmarks/web_fetch.py             # everything; downloads on the first run
    python tests/benchmarks/web_fetch.py --no-peers  # ours and plain trafilatura only

Two corpora of real pages come inside source packages on PyPI and are unpacked into the user's cache
folder (or ``--cache DIR``), never into the repository:

- ``chunks``: about 100 pages in trafilatura 1.0.0, and for each the phrases that its tests want and
  do not want to find. Precision and recall count phrases. It is trafilatura's home ground.
- ``articles``: about 25 news pages in many scripts in newspaper4k, each with its article as text.
  Precision and recall count words, for Chinese, Japanese and Thai characters.

A full checkout of trafilatura's repository (``tests/evaldata.json`` beside ``tests/cache``) can
take the first one's place: ``--evaldata DIR``.

The peers run in an environment of their own, since mcp-server-fetch needs an older mcp than we do.
The exit code is 1 if ours falls more than 0.01 below 0.92 on ``chunks``.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import subprocess
import sys
import tarfile
import time
import unicodedata
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import platformdirs

REQUIRED_F1 = 0.92
TOLERANCE = 0.01
CHUNKS_PACKAGE = "trafilatura==1.0.0"
ARTICLES_PACKAGE = "newspaper4k==0.9.6"
PEER_PACKAGES = ("mcp-server-fetch==2026.10.24", "readability-lxml==0.9", "lxml-html-clean")

Extract: TypeAlias = Callable[[str, str], str]
"""The text of a page, given its HTML and its URL."""


@dataclass(frozen=True, slots=True)
class Page:
    url: str
    html: str
    wanted: Counter[str]
    """Phrases, or words of the article."""
    unwanted: Counter[str] | None
    """Phrases; None where everything that is not wanted is unwanted."""


@dataclass(frozen=True, slots=True)
class Score:
    precision: float
    recall: float
    ms_mean: float
    ms_p95: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


# --- corpora -------------------------------------------------------------------------------------


def chunks_of_tests(folder: Path) -> list[Page]:
    """What ``realworld_tests.py`` asserts of each page: 'phrase' in result, or not in result."""
    tree = ast.parse((folder / "realworld_tests.py").read_text("utf-8"))
    names = _mock_pages(tree)
    phrases: dict[str, tuple[Counter[str], Counter[str]]] = {}
    url = ""
    for node in _in_order(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_mock_page":
            first = node.args[0]
            url = str(first.value) if isinstance(first, ast.Constant) else ""
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Constant) and url:
            wanted, unwanted = phrases.setdefault(url, (Counter(), Counter()))
            group = wanted if isinstance(node.ops[0], ast.In) else unwanted
            group[plain(str(node.left.value))] = 1
    return [
        Page(url, _read_html(folder / "cache" / names[url]), wanted, unwanted)
        for url, (wanted, unwanted) in phrases.items()
        if url in names and (folder / "cache" / names[url]).is_file()
    ]


def _mock_pages(tree: ast.Module) -> dict[str, str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MOCK_PAGES":
            pages: dict[str, str] = ast.literal_eval(node.value)
            return pages
    raise SystemExit("the corpus is not as expected: no MOCK_PAGES")


def _in_order(tree: ast.Module) -> Iterator[ast.AST]:
    nodes = (node for node in ast.walk(tree) if hasattr(node, "lineno"))
    return iter(sorted(nodes, key=lambda node: (node.lineno, node.col_offset)))  # type: ignore[attr-defined]


def chunks_of_evaldata(folder: Path) -> list[Page]:
    data = json.loads((folder / "tests" / "evaldata.json").read_text("utf-8"))
    files = {path.name: path for path in (folder / "tests").rglob("*.html")}
    return [
        Page(
            url,
            _read_html(files[item["file"]]),
            Counter({plain(phrase): 1 for phrase in item["with"]}),
            Counter({plain(phrase): 1 for phrase in item["without"]}),
        )
        for url, item in data.items()
        if item["file"] in files
    ]


def articles(folder: Path) -> list[Page]:
    pages = []
    for text in sorted((folder / "tests/data/txt").glob("*.txt")):
        html = folder / "tests/data/html" / f"{text.stem}.html"
        if html.is_file():
            wanted = Counter(words(text.read_text("utf-8")))
            pages.append(Page(f"https://news.example/{text.stem}", _read_html(html), wanted, None))
    return pages


def _read_html(path: Path) -> str:
    from kronk_tools.fetching.charset import decode

    return decode(path.read_bytes())


def download(package: str, cache: Path) -> Path:
    """The unpacked source package."""
    name, _, version = package.partition("==")
    folder = cache / f"{name}-{version}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        source_only = ["--no-deps", "--no-binary", ":all:", "--dest", str(cache), package]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *source_only], check=True)
        with tarfile.open(cache / f"{name}-{version}.tar.gz") as archive:
            archive.extractall(cache, filter="data")
    return folder


# --- scoring -------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Without Markdown's signs and differences in blanks, so that formats compare."""
    num_links = 1
    while num_links:  # from the inside out: an image can be a link
        text, num_links = re.subn(r"!?\[([^\[\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"[*_`|#>\\]", " ", unicodedata.normalize("NFC", text))
    return " ".join(text.split())


def words(text: str) -> Iterator[str]:
    for word in re.findall(r"\w+", plain(text).lower()):
        is_spaced = word.isascii() or unicodedata.name(word[0], "").split()[0] not in _UNSPACED
        yield from [word] if is_spaced else word


_UNSPACED = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "MYANMAR"}


def score(pages: Sequence[Page], extract: Extract) -> Score:
    """Also warms up on the first page, which is not timed twice."""
    extract(pages[0].html, pages[0].url)
    true_positive = false_positive = false_negative = 0
    seconds = []
    for page in pages:
        started = time.perf_counter()
        text = extract(page.html, page.url)
        seconds.append(time.perf_counter() - started)
        hits, strays, missed = _count(page, text)
        true_positive += hits
        false_positive += strays
        false_negative += missed
    return Score(
        true_positive / max(1, true_positive + false_positive),
        true_positive / max(1, true_positive + false_negative),
        statistics.mean(seconds) * 1000,
        statistics.quantiles(seconds, n=20)[-1] * 1000,
    )


def _count(page: Page, text: str) -> tuple[int, int, int]:
    if page.unwanted is None:
        found = Counter(words(text))
        hits = (found & page.wanted).total()
        return hits, found.total() - hits, page.wanted.total() - hits
    text = plain(text)
    hits = sum(phrase in text for phrase in page.wanted)
    return hits, sum(phrase in text for phrase in page.unwanted), len(page.wanted) - hits


# --- ways to extract -----------------------------------------------------------------------------


def ours(html: str, url: str) -> str:
    from kronk_agent.errors import ToolError
    from kronk_tools.reading.html import read_html

    try:
        return read_html(html, url, "markdown").text
    except ToolError:
        return ""


def plain_trafilatura(html: str, url: str) -> str:
    import trafilatura

    text = trafilatura.extract(
        html, url=url, output_format="markdown", include_links=True, include_comments=False
    )
    return text or ""


PEERS = ("mcp-server-fetch", "readability + markdownify")
_PEER_PROGRAM = """
import json, os, sys
def mcp_server_fetch(html):
    from mcp_server_fetch.server import extract_content_from_html
    return extract_content_from_html(html)
def readability(html):
    from markdownify import markdownify
    from readability import Document
    return markdownify(Document(html).summary(), heading_style="ATX")
ways = {"mcp-server-fetch": mcp_server_fetch, "readability + markdownify": readability}
extract = ways[sys.argv[1]]
sys.stdin.reconfigure(encoding="utf-8")
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # node and others print
for line in sys.stdin:
    try:
        text = extract(json.loads(line))
    except Exception:
        text = ""
    print(json.dumps(text or ""), file=out, flush=True)
"""


class Peer:
    """Another program's method, in the environment of its own."""

    def __init__(self, name: str, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), "-c", _PEER_PROGRAM, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )

    def __call__(self, html: str, url: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(html) + "\n")
        self._process.stdin.flush()
        text: str = json.loads(self._process.stdout.readline())
        return text

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def peer_python(cache: Path) -> Path:
    """The interpreter of an environment with the peers in it."""
    folder = cache / "peers"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEER_PACKAGES], check=True)
    return python


# --- the report ----------------------------------------------------------------------------------


def report(title: str, pages: Sequence[Page], ways: dict[str, Extract]) -> dict[str, Score]:
    size = statistics.mean(len(page.html) for page in pages) / 1000
    print(f"\n{title}: {len(pages)} pages, {size:.0f} KB on average")
    print(f"{'':28} precision  recall     F1  ms/page  p95")
    scores = {}
    for name, extract in ways.items():
        scores[name] = done = score(pages, extract)
        print(
            f"{name:28} {done.precision:9.3f} {done.recall:7.3f} {done.f1:6.3f}"
            f" {done.ms_mean:8.1f} {done.ms_p95:4.0f}"
        )
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    default_cache = platformdirs.user_cache_path("kronk-agent") / "benchmarks"
    parser.add_argument("--cache", type=Path, default=default_cache)
    parser.add_argument("--evaldata", type=Path, help="a checkout of trafilatura's repository")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    chunks = (
        chunks_of_evaldata(options.evaldata)
        if options.evaldata
        else chunks_of_tests(download(CHUNKS_PACKAGE, options.cache) / "tests")
    )
    ways: dict[str, Extract] = {"kronk-agent": ours, "plain trafilatura": plain_trafilatura}
    peers: list[Peer] = []
    if options.no_peers:
        print("mcp-server-fetch, readability + markdownify: skipped, as --no-peers asks")
    else:
        try:
            python = peer_python(options.cache)
            peers = [Peer(name, python) for name in PEERS]
            ways |= dict(zip(PEERS, peers, strict=True))
        except (OSError, subprocess.SubprocessError) as error:
            print(f"mcp-server-fetch, readability + markdownify: skipped, not installed ({error})")
    try:
        scores = report("chunks", chunks, ways)
        report("articles", articles(download(ARTICLES_PACKAGE, options.cache)), ways)
    finally:
        for peer in peers:
            peer.close()
    is_good = scores["kronk-agent"].f1 >= REQUIRED_F1 - TOLERANCE
    print(f"\nF1 of kronk-agent on chunks: {scores['kronk-agent'].f1:.3f}", end=" ")
    print(f"({'at least' if is_good else 'BELOW'} {REQUIRED_F1 - TOLERANCE:.2f})")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
