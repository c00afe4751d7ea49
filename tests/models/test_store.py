from __future__ import annotations

from pathlib import Path

import pytest

from kronk_agent.errors import ModelError
from kronk_agent.models.store import find_model


def test_no_name_is_the_starter_model(starter_model: Path) -> None:
    assert find_model(None, names={}, base_dir=Path("/anywhere")) == starter_model
    assert starter_model.stat().st_size > 90_000_000


def test_a_name_from_the_configuration_is_its_path(tmp_path: Path) -> None:
    names = {"mine": Path("models/mine.gguf"), "other": Path("/models/other.gguf")}

    assert find_model("mine", names=names, base_dir=tmp_path) == tmp_path / "models/mine.gguf"
    assert find_model("other", names=names, base_dir=tmp_path) == Path("/models/other.gguf")


def test_anything_else_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "some.gguf").touch()

    assert find_model("some.gguf", names={}, base_dir=tmp_path) == tmp_path / "some.gguf"


def test_a_name_that_is_neither_says_what_is_near(tmp_path: Path) -> None:
    names = {"qwen3-4b": Path("q.gguf")}

    with pytest.raises(ModelError) as info:
        find_model("qwen3-8b", names=names, base_dir=tmp_path)

    assert str(info.value) == (
        "model 'qwen3-8b': there is no such file, and no such name under models: in the "
        "configuration (did you mean 'qwen3-4b'?)"
    )
