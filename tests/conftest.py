"""What tests of several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest

from kronk_agent.models import store


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """The GGUF file of the starter model, SmolLM2-135M-Instruct."""
    return store.starter_model()
