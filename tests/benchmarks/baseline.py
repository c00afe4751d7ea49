"""What we are measured against: llama.cpp's own programs, compiled for this very machine from the
source inside the installed llama-cpp-python's source package, so they are of the same commit.

    make bench-baseline        # about 5 minutes on 2 cores, once for each version of the binding
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import httpx2
import platformdirs

PROGRAMS = ("llama-server", "llama-batched-bench")
_BINDING = "llama-cpp-python"
_OPTIONS = (
    "CMAKE_BUILD_TYPE=Release",
    "GGML_NATIVE=ON",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_UI=OFF",
    "LLAMA_USE_PREBUILT_UI=OFF",
    "LLAMA_OPENSSL=OFF",
    f"CMAKE_PROJECT_llama.cpp_INCLUDE={Path(__file__).parents[2] / 'cmake' / 'amx.cmake'}",
)
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


_CACHE_FOLDER = platformdirs.user_cache_path("kronk-agent") / "benchmarks"
"""Found at import: in a test the cache folder is another one."""


def cache_folder() -> Path:
    """The folder for what benchmarks download and build; none of it is in the repository."""
    return _CACHE_FOLDER


def program(name: str) -> Path:
    """One of ``PROGRAMS``.

    Raises:
        SystemExit: it has not been built for the installed version of the binding.
    """
    path = _folder() / "build" / "bin" / name
    if not path.is_file():
        raise SystemExit(f"{path} is missing: run `make bench-baseline` first")
    return path


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A running llama-server."""

    url: str
    process_id: int


@contextmanager
def llama_server(model: Path, *options: str, log: Path | None = None) -> Iterator[LlamaServer]:
    """Start llama-server on a free loopback port, wait until it is ready, stop it at the end.

    Args:
        model: the GGUF file.
        options: llama-server's own, such as ``"-np", "8"``.
        log: file for what it says; None drops it.

    Raises:
        SystemExit: it is not built.
        RuntimeError: it ended while starting, or was not ready in two minutes.
    """
    port = _free_port()
    address = ("--host", "127.0.0.1", "--port", str(port))
    command = [str(program("llama-server")), "-m", str(model), *address, *options]
    with (log or Path(os.devnull)).open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process)
        yield LlamaServer(url, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with httpx2.Client(trust_env=False) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"llama-server ended with {process.returncode} while starting")
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx2.TransportError:
                pass  # does not listen yet
            time.sleep(0.1)
    raise RuntimeError(f"llama-server was not ready in {_START_SECONDS:.0f} s")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# --- building ------------------------------------------------------------------------------------


def build() -> None:
    """Build ``PROGRAMS`` unless they are there already.

    Raises:
        SystemExit: a tool is missing, or the build fails; its own words are above.
    """
    folder = _folder()
    if all((folder / "build" / "bin" / name).is_file() for name in PROGRAMS):
        print(f"{', '.join(PROGRAMS)}: already in {folder / 'build' / 'bin'}")
        return
    cmake = shutil.which("cmake")
    if cmake is None:
        raise SystemExit("cmake is missing: install it (apt install cmake, or pip install cmake)")
    source = _source(folder)
    ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = [f"-D{option}" for option in _OPTIONS]
    place = ["-S", str(source), "-B", str(folder / "build")]
    _run([cmake, *ninja, *place, *options])
    _run([cmake, "--build", str(folder / "build"), "--parallel", "--target", *PROGRAMS])


def _folder() -> Path:
    return cache_folder() / f"llama.cpp-{metadata.version(_BINDING)}"


def _source(folder: Path) -> Path:
    """llama.cpp's source, from the binding's source package."""
    source = folder / "source"
    if source.is_dir():
        return source
    version = metadata.version(_BINDING)
    unpacked = folder / "unpacked"
    folder.mkdir(parents=True, exist_ok=True)
    requirement = f"{_BINDING}=={version}"
    print(f"downloading the source of {requirement} (about 77 MB)", flush=True)
    source_only = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), requirement]
    _run([sys.executable, "-m", "pip", "download", "-q", *source_only])
    archive = next(folder.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as files:
        wanted = [file for file in files if "/vendor/llama.cpp/" in file.name]
        files.extractall(unpacked, wanted, filter="data")
    next(unpacked.glob("*/vendor/llama.cpp")).rename(source)
    shutil.rmtree(unpacked)
    archive.unlink()
    return source


def _run(command: list[str]) -> None:
    if (status := subprocess.run(command, check=False).returncode) != 0:
        raise SystemExit(f"{command[0]} {command[1]} ended with {status}")


if __name__ == "__main__":
    build()
