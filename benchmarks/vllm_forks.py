"""What vLLM needs for all branches of some solutions: run by an interpreter that has vLLM.

    OMP_NUM_THREADS=2 python benchmarks/vllm_forks.py job.json answer.json

The job: `model` (a directory), `max_new_tokens`, `solutions` (each with `prompt_ids`, `completion_ids` and
`branches` of `position` and `token_id`), and if wanted `speculation` and `options` of `vllm.LLM`. Only the
continuations are timed: the model is loaded and warmed up, and each solution's own tokens are in the prefix
cache, as they are when annotation has inspected it.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from cruxtune.engines import Decoding, Fork
from cruxtune.engines.requests import RequestEngine
from cruxtune.engines.vllm import open_vllm
from cruxtune.models import find_model
from cruxtune.records import Branch

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Set before torch and vLLM are imported, where the caller's environment doesn't say otherwise."""
BEST = {"block_size": 32, "max_num_seqs": 256, "max_num_batched_tokens": 4096}
"""The best of those that were tried on two cores; see docs/engines.md."""


def main(job_file: str, answer_file: str) -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    engine = open_vllm(
        find_model(job["model"]),
        dtype=job.get("dtype", "float32"),
        speculation=job.get("speculation", "none"),
        options={**BEST, **job.get("options", {})},
    )
    decoding = Decoding(job["max_new_tokens"])
    engine.generate([solution["prompt_ids"] for solution in job["solutions"]][:4] * 4, Decoding(16))
    forks = [fork for solution in job["solutions"] for fork in forks_of(engine, solution)]
    start = time.perf_counter()
    completions = continuations(engine, forks, decoding)
    seconds = time.perf_counter() - start
    answer = {
        "seconds": seconds,
        "rollout_tokens": sum(len(ids) for ids in completions),
        "completions": completions,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")
    print(f"{len(forks)} branches, {answer['rollout_tokens']} tokens, {seconds:.2f} s")


def forks_of(engine: RequestEngine, solution: dict[str, Any]) -> list[Fork]:
    stem = engine.open_stem(solution["prompt_ids"], solution["completion_ids"], 3)
    return [
        Fork(stem, Branch(branch["position"], 2, branch["token_id"], 0.0)) for branch in solution["branches"]
    ]


def continuations(engine: RequestEngine, forks: list[Fork], decoding: Decoding) -> list[list[int]]:
    """What each fork becomes, in their order."""
    waiting = iter(forks)
    done = {
        id(fork): completion.token_ids
        for batch in engine.continue_forks(lambda: next(waiting, None), decoding)
        for fork, completion in batch
    }
    return [done[id(fork)] for fork in forks]


if __name__ == "__main__":
    main(*sys.argv[1:])
