"""Loading a GGUF file."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Mapping
from pathlib import Path

from kronk_agent.engine.binding import Model, llama
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import ModelError

logger = logging.getLogger(__name__)
_llama_logger = logging.getLogger("kronk_agent.engine.llama_cpp")
_MAGIC = b"GGUF"
_LOG_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING}


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _forward_log(level: int, text: bytes | None, _: object) -> None:
    """llama.cpp's log goes to our logger, one level lower: what it calls an error we raise."""
    line = (text or b"").decode("utf-8", "replace").strip()
    if line.strip("."):
        _llama_logger.log(_LOG_LEVELS.get(level, logging.DEBUG), "%s", line)


class ModelFile:
    """A loaded GGUF file: the weights, the vocabulary, the chat templates.

    Raises:
        ModelError: the file is missing, is not a GGUF file, or llama.cpp cannot load it.
    """

    def __init__(self, path: Path, *, gpu_layers: int = -1) -> None:
        _check_file(path)
        llama.llama_log_set(_forward_log, None)
        llama.llama_backend_init()
        params = llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        handle = llama.llama_model_load_from_file(str(path).encode(), params)
        if handle is None:
            raise ModelError(
                f"{path}: llama.cpp cannot load this file: it is damaged, cut short, or of a kind "
                "this build does not know (download it again, or run with --debug for the reason)"
            )
        self.handle: Model = handle
        self.path = path
        self.vocabulary = Vocabulary(llama.llama_model_get_vocab(handle))
        self.trained_context_length: int = llama.llama_model_n_ctx_train(handle)
        self.has_partial_memory: bool = not (
            llama.llama_model_is_recurrent(handle) or llama.llama_model_is_hybrid(handle)
        )
        """Can a prefix of a sequence's memory be kept without the rest?"""
        if not llama.llama_model_has_decoder(handle):
            self.close()
            raise ModelError(f"{path}: this model cannot generate text (it has no decoder)")

    @property
    def chat_templates(self) -> Mapping[str, str]:
        """Jinja sources by name: ``default``, and ``tool_use`` where the file has one."""
        found = {
            "default": llama.llama_model_chat_template(self.handle, None),
            "tool_use": llama.llama_model_chat_template(self.handle, b"tool_use"),
        }
        return {name: source.decode("utf-8", "replace") for name, source in found.items() if source}

    @property
    def description(self) -> str:
        """llama.cpp's own few words: architecture, size, quantisation."""
        buffer = ctypes.create_string_buffer(256)
        llama.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    def close(self) -> None:
        """Free the weights; nothing made from this model may be used afterwards."""
        self.vocabulary.close()
        llama.llama_model_free(self.handle)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ModelError(f"{path}: this is a folder; name the .gguf file in it")
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if magic != _MAGIC:
        raise ModelError(f"{path}: this is not a GGUF file")
