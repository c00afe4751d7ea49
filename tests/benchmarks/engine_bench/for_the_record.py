"""Two other ways to run llama.cpp from Python, at what they can do: nothing here has a bar."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from benchmarks.baseline import cache_folder
from benchmarks.engine_bench.measuring import Figure, Measured, Setup
from benchmarks.engine_bench.peers import Ask, Server, ours, server_client
from benchmarks.engine_bench.streams import question, tokens_per_second

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_XLLAMACPP = "2026.10.11549"
_MAX_TOKENS = 64
_CONTEXT_LENGTH = 4096

_XLLAMACPP_PROGRAM = """
import sys, xllamacpp
model, threads, context_length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = model, context_length, 8
params.kv_unified, params.verbosity = True, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""

_LLAMA_PROGRAM = """
import itertools, json, sys, time
from llama_cpp import Llama
job = json.load(sys.stdin)
llama = Llama(job["model"], n_ctx=job["context_length"], n_threads=job["threads"],
              n_threads_batch=job["threads"], verbose=False)
def generate(prompt, number):  # goes on past the end of a turn
    tokens = llama.generate(prompt, top_k=40, top_p=0.95, min_p=0.05, temp=0.8)
    return sum(1 for _ in itertools.islice(tokens, number))
generate(job["prompts"][0], 8)
started = time.perf_counter()
number = sum(generate(prompt, job["max_tokens"]) for prompt in job["prompts"])
print(number / (time.perf_counter() - started))
"""


async def for_the_record(setup: Setup) -> Measured:
    """Tokens a second at 1 and at 8 streams. llama-cpp-python's ``Llama`` runs one generation at a
    time: at 8 streams it does them one after the other."""
    figures: list[Figure] = []
    raw: JsonObject = {}
    params = EngineParams(context_length=_CONTEXT_LENGTH, threads=setup.threads)
    async with ours(setup.model, params) as us, _xllamacpp_server(setup) as xllamacpp:
        for width in (1, 8):
            asks = [
                Ask(prompt=question(100 * width + i, us.tokenize), max_tokens=_MAX_TOKENS)
                for i in range(width)
            ]
            measured = {
                "kronk-agent": await tokens_per_second(us, asks),
                "xllamacpp": await tokens_per_second(xllamacpp, asks),
                "llama_cpp.Llama": await to_thread.run_sync(_llama, setup, asks),
            }
            raw[str(width)] = {**measured}
            figures += [
                Figure(
                    key=f"record_{name}_{width}",
                    title=f"for the record: tokens/s, {name}, {width} at once",
                    value=value,
                )
                for name, value in measured.items()
            ]
    return Measured(tuple(figures), raw)


def _llama(setup: Setup, asks: list[Ask]) -> float:
    job = {
        "model": str(setup.model),
        "threads": setup.threads,
        "context_length": _CONTEXT_LENGTH,
        "max_tokens": _MAX_TOKENS,
        "prompts": [ask.prompt for ask in asks],
    }
    done = subprocess.run(
        [sys.executable, "-c", _LLAMA_PROGRAM],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@asynccontextmanager
async def _xllamacpp_server(setup: Setup) -> AsyncIterator[Server]:
    """Its wheel has a llama-server inside, built for any processor with AVX2."""
    process = await to_thread.run_sync(_start_xllamacpp, setup)
    try:
        assert process.stdout is not None
        url = (await to_thread.run_sync(process.stdout.readline)).strip()
        if not url:
            raise RuntimeError("xllamacpp's server did not start")
        async with server_client(url) as peer:
            yield peer
    finally:
        process.kill()
        process.communicate()


def _start_xllamacpp(setup: Setup) -> subprocess.Popen[str]:
    """Says its URL on standard output; installed into the benchmarks' cache when it is not yet."""
    folder = cache_folder() / f"xllamacpp-{_XLLAMACPP}"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
        subprocess.run([*pip, f"xllamacpp=={_XLLAMACPP}"], check=True)
    arguments = [str(setup.model), str(setup.threads), str(_CONTEXT_LENGTH)]
    return subprocess.Popen(
        [sys.executable, "-c", _XLLAMACPP_PROGRAM, *arguments],
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
