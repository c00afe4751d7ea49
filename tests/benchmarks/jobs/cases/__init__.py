"""The jobs, a file for each class or two. Importing this package fills the catalogue."""

from __future__ import annotations

from benchmarks.jobs.cases import (
    chains,
    conversations,
    crowds,
    long_results,
    reading,
    restraint,
    retries,
    writing,
)

__all__ = [
    "chains",
    "conversations",
    "crowds",
    "long_results",
    "reading",
    "restraint",
    "retries",
    "writing",
]
