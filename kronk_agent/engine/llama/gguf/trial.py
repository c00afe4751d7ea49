"""Trial load of a model file in a child process, as llama.cpp aborts on some damaged files."""

from __future__ import annotations

import contextlib
import hashlib
import os
from importlib import metadata
from pathlib import Path
from typing import Final

import platformdirs

from kronk_agent.confined import Answer, Confined, ConfinedError
from kronk_agent.engine.llama.gguf.header import HeaderError, check_header
from kronk_agent.errors import ModelError
from kronk_agent.messages import JsonValue

TRIAL_SECONDS: Final = 15.0
MEMORY_MIB: Final = 4096


def check_model(path: Path) -> None:
    """Check a GGUF file once: its header, then a load without weights. The result is recorded.

    Raises:
        ModelError: llama.cpp cannot load it, or crashes when it does.
    """
    record = _record_path(path)
    problem = _read(record)
    if problem is None:
        is_reproducible = True
        try:
            check_header(path)
            Confined(f"{__name__}:open_trial", memory_mib=MEMORY_MIB).ask(
                str(path), seconds=TRIAL_SECONDS
            )
        except HeaderError as error:
            problem = str(error)
        except ConfinedError as error:
            problem = f"in a trial load llama.cpp {error}"
            is_reproducible = error.is_crash
        else:
            problem = ""
        if is_reproducible:
            _write(record, problem)
    if problem:
        raise ModelError(f"{path}: llama.cpp cannot load this file: {problem}; download it again")


def _record_path(path: Path) -> Path:
    """Path of the recorded result for this version of the file and of llama.cpp."""
    status = path.stat()
    llama_version = metadata.version("llama-cpp-python")
    identity = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {llama_version}"
    name = hashlib.blake2b(os.fsencode(identity), digest_size=16).hexdigest()
    return platformdirs.user_cache_path("kronk-agent", appauthor=False) / "checked-models" / name


def _read(record: Path) -> str | None:
    try:
        return record.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _write(record: Path, found: str) -> None:
    with contextlib.suppress(OSError):  # without a record the file is checked again
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(found, encoding="utf-8", errors="replace")


def open_trial() -> Answer:
    """Serve trial loads in the child process: everything but the weights is loaded."""
    # Set before llama.cpp is imported, so that it initializes no GPU.
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}

    from kronk_agent.engine.llama.binding import llama

    llama.llama_backend_init()

    def answer(question: JsonValue) -> JsonValue:
        settings = llama.llama_model_default_params()
        settings.n_gpu_layers = 0
        settings.no_alloc = True
        settings.load_mode = llama.LLAMA_LOAD_MODE_NONE
        model = llama.llama_model_load_from_file(os.fsencode(str(question)), settings)
        if model is None:  # the real load reports the reason
            return None
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = 256, 32, 32
        context = llama.llama_init_from_model(model, params)
        if context is not None:
            llama.llama_free(context)
        llama.llama_model_free(model)
        return None

    return answer
