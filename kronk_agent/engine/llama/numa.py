"""NUMA strategy: where llama.cpp's threads run on machines with several memory nodes."""

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

# llama.cpp accepts a strategy once per process, and later ones are ignored without notice.
_lock = threading.Lock()
_chosen: list[Numa] = []


def set_numa_strategy(strategy: Numa) -> None:
    """Set llama.cpp's NUMA strategy; the first one holds until the process ends.

    Raises:
        ConfigError: a different one was set before.
    """
    with _lock:
        if not _chosen:
            llama.llama_numa_init(_STRATEGIES[strategy])
            _chosen.append(strategy)
        if _chosen[0] != strategy:
            raise ConfigError(
                f"must be {_chosen[0]}, as for the model loaded first: it holds for the process",
                key="engine.numa",
            )
