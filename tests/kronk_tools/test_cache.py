from __future__ import annotations

from pathlib import Path

from kronk_tools.cache import Page, PageCache
from kronk_tools.reading.document import Document


def page(text: str = "text", *, read_at: float = 0.0, may_be_stored: bool = True) -> Page:
    return Page(
        "https://a.example/",
        200,
        "text/html",
        Document(text, title="T", links=("https://b.example/",)),
        read_at,
        etag='"1"',
        may_be_stored=may_be_stored,
    )


def cache(
    *, max_bytes: int = 100_000, folder: Path | None = None, now: float = 0.0, fresh: float = 10.0
) -> PageCache:
    return PageCache(fresh_seconds=fresh, max_bytes=max_bytes, folder=folder, clock=lambda: now)


def test_a_page_is_fresh_for_a_while_and_stays_there_longer() -> None:
    kept = cache(now=10.0)
    kept.put("a", page(read_at=0.0))
    kept.put("b", page(read_at=0.1))

    assert kept.get("a") == page(read_at=0.0)
    assert (kept.is_fresh(page(read_at=0.0)), kept.is_fresh(page(read_at=0.1))) == (False, True)
    assert not kept.is_fresh(page(read_at=11.0)), "the clock was set back"


def test_a_page_may_be_read_on_for_an_hour() -> None:
    now = 10_000.0
    kept = cache(now=now)

    assert kept.is_kept_for_reading(page(read_at=now - 3_599))
    assert not kept.is_kept_for_reading(page(read_at=now - 3_600))
    assert cache(now=now, fresh=9_000).is_kept_for_reading(page(read_at=now - 8_000))


def test_those_that_were_not_used_for_longest_make_room() -> None:
    kept = cache(max_bytes=3 * page().num_bytes)

    for key in ("a", "b", "c"):
        kept.put(key, page())
    kept.get("a")
    kept.put("d", page())

    assert [kept.get(key) is not None for key in ("a", "b", "c", "d")] == [True, False, True, True]


def test_a_page_that_would_take_all_the_room_is_not_kept() -> None:
    kept = cache(max_bytes=10_000)
    kept.put("small", page())

    kept.put("large", page("x" * 10_000))

    assert kept.get("large") is None
    assert kept.get("small") is not None


def test_replacing_a_page_again_and_again_takes_no_more_room() -> None:
    kept = cache(max_bytes=3 * page().num_bytes)
    kept.put("a", page())

    for _ in range(10):
        kept.put("b", page())

    assert kept.get("a") is not None


def test_a_folder_keeps_pages_for_the_next_program(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    cache(folder=folder).put("a", page("grüße"))

    assert cache(folder=folder).get("a") == page("grüße")
    assert cache(folder=folder).get("b") is None
    assert cache().get("a") is None
    assert folder.stat().st_mode & 0o077 == 0


def test_what_must_not_be_stored_stays_in_memory(tmp_path: Path) -> None:
    kept = cache(folder=tmp_path)

    kept.put("a", page(may_be_stored=False))

    assert kept.get("a") is not None
    assert list(tmp_path.iterdir()) == []


def test_the_folder_keeps_to_the_budget(tmp_path: Path) -> None:
    kept = cache(folder=tmp_path, max_bytes=10_000)

    for number in range(50):
        kept.put(str(number), page("x" * 1_000))

    assert 0 < sum(file.stat().st_size for file in tmp_path.iterdir()) <= 10_000


def test_a_damaged_file_is_as_good_as_none_and_removed(tmp_path: Path) -> None:
    for damage in (b"", b"{}", b"\xff", b"[1]", b'{"document": {"links": 1}}'):
        cache(folder=tmp_path).put("a", page())
        (file,) = tmp_path.iterdir()
        file.write_bytes(damage)

        assert cache(folder=tmp_path).get("a") is None
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = cache(folder=tmp_path / "file" / "folder")

    kept.put("a", page())

    assert kept.get("a") == page()
