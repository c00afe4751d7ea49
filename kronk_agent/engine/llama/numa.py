"""Where llama.cpp's threads run on machines with several memory nodes."""

from __future__ import annotations

import threading

from kronk_agent.engine.llama.binding import llama
from kronk_agent.engine.llama.params import Numa
from kronk_agent.errors import ConfigError

_STRATEGIES = {
    "distribute": llama.GGML_NUMA_STRATEGY_DISTRIBUTE,
    "isolate": llama.GGML_NUMA_STRATEGY_ISOLATE,
    "numactl": llama.GGML_NUMA_STRATEGY_NUMACTL,
}

# llama.cpp keeps this for the whole process, takes it once, and says nothing of it afterwards.
_lock = threading.Lock()
_chosen: list[Numa] = []


def set_numa_strategy(strategy: Numa) -> None:
    """Choose the placement; the first choice holds until the process ends.

    Raises:
        ConfigError: another one was chosen before.
    """
    with _lock:
        if not _chosen:
            llama.llama_numa_init(_STRATEGIES[strategy])
            _chosen.append(strategy)
        if _chosen[0] != strategy:
            raise ConfigError(
                f"must be {_chosen[0]}, as for a model loaded before: it holds for the process",
                key="engine.numa",
            )
