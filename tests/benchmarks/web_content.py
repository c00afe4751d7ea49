"""Which kinds of content web_fetch keeps, in short and long pages.

    PYTHONPATH=tests python -m benchmarks.web_content

Each kind of ``tests/web_content.txt`` is put into pages of several lengths and shapes. A cell of
the table is ``ok`` when exactly the expected Markdown is read between the words around it, ``.``
when not. The exit code is 1 if less than 95 in 100 are right.
"""

from __future__ import annotations

import time

from benchmarks.web_fetch import Extract, ours, plain_trafilatura
from web_content import FRAMES, URL, Kind, between, kinds

REQUIRED_SHARE = 0.95


def table(title: str, found: list[Kind], extract: Extract) -> float:
    """Print what comes of each kind in each page; gives the share that is right."""
    started = time.perf_counter()
    print(f"\n{title}\n{'':50} {' '.join(f'{name:>8}' for name in FRAMES)}")
    totals = dict.fromkeys(FRAMES, 0)
    for kind in found:
        marks = []
        for name, frame in FRAMES.items():
            is_right = between(extract(frame(kind.html), URL)) == kind.expected
            totals[name] += is_right
            marks.append("ok" if is_right else ".")
        print(f"{kind.name:50} {' '.join(f'{mark:>8}' for mark in marks)}")
    print(f"{f'right, of {len(found)}':50} {' '.join(f'{n:>8}' for n in totals.values())}")
    num_pages = len(found) * len(FRAMES)
    milliseconds = (time.perf_counter() - started) * 1000 / num_pages
    print(f"{sum(totals.values())} of {num_pages} right, {milliseconds:.1f} ms a page")
    return sum(totals.values()) / num_pages


def main() -> int:
    found = kinds()
    table("trafilatura, as it is", found, plain_trafilatura)
    share = table("kronk-agent", found, ours)
    is_good = share >= REQUIRED_SHARE
    print(f"\n{share:.3f} ({'at least' if is_good else 'BELOW'} {REQUIRED_SHARE:.2f})")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
