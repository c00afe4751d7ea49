"""What tests of several rooms share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
from benchmarks import weights
from loopback_web import LoopbackWeb, loopback_web

from kronk_agent.models import store

pytest_plugins = ("limits",)

# llama.cpp's threads spin where they wait for each other, which stops them all on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_FETCHED = {name: weights.find(name) for name in weights.MODELS}
"""Looked for before the tests get cache folders of their own."""


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """The GGUF file of the starter model, SmolLM2-135M-Instruct."""
    return store.starter_model()


@pytest.fixture(scope="session")
def qwen_coder_05b() -> Path:
    """The GGUF file of Qwen2.5-Coder-0.5B-Instruct; without it, the test is skipped."""
    return _fetched_model("0.5b")


@pytest.fixture(scope="session")
def qwen_coder_15b() -> Path:
    """The GGUF file of Qwen2.5-Coder-1.5B-Instruct; without it, the test is skipped."""
    return _fetched_model("1.5b")


def _fetched_model(name: str) -> Path:
    path = _FETCHED[name]
    if path is None:
        pytest.skip(f"needs a model that is not here: {weights.HOW_TO_GET}")
    return path


@pytest.fixture(scope="session", autouse=True)
def no_keyring() -> Iterator[None]:
    """Tests never look into the person's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        yield


@pytest.fixture(scope="session", autouse=True)
def no_own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is opened once for many tests does not write to the person's own cache."""
    pip = platformdirs.user_cache_dir("pip", appauthor=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CACHE_DIR", os.environ.get("PIP_CACHE_DIR", pip))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def checked_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was found of model files, so that not every test tries to load the same one first."""
    return tmp_path_factory.mktemp("checked-models")


@pytest.fixture(autouse=True)
def own_cache(
    tmp_path_factory: pytest.TempPathFactory, checked_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test finds in the cache what another one left there, but for what models were checked."""
    cache = tmp_path_factory.mktemp("cache")
    (cache / "kronk-agent").mkdir()
    (cache / "kronk-agent" / "checked-models").symlink_to(checked_models)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered and logged stays in this test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def web() -> Iterator[LoopbackWeb]:
    """A web on 127.0.0.1 that answers as the test tells it to."""
    with loopback_web() as served:
        yield served
