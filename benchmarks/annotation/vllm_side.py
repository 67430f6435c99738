"""One job by vLLM, in the environment that has it (`vllm_forks.py`); only the continuation is timed."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotation.job import Job, K, Outcome, completions_of, labels_of
from cruxtune.counterfactual import Annotator, Task, branches_of
from cruxtune.engines import Fork
from cruxtune.engines.loading import load_both
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.engines.texts import finish
from cruxtune.models import find_model
from cruxtune.records import Rollout, TokenIds
from cruxtune.verify import Verifier

ROOT = Path(__file__).parents[2]


def run_vllm(job: Job, python: str) -> Outcome:
    """All branches of an eager test, verified as those of any engine."""
    engine = ReferenceEngine(*load_both(find_model(str(job.model), None), trust_remote_code=False))
    with Verifier() as verifier:
        annotator = Annotator(engine, verifier, job.decoding, K, is_lazy=False)
        forks = [forks_of(annotator, task) for task in job.tasks]
        found = ask(question_of(job, forks), python, job.threads)
        rollouts = graded(job, engine, verifier, forks, found["completions"])
    return Outcome(
        seconds=found["seconds"],
        rollouts=len(rollouts),
        rollout_tokens=sum(len(rollout.continuation.token_ids) for rollout in rollouts),
        forward_tokens=None,
        peak_gib=found["peak_gib"],
        completions=completions_of(rollouts),
        labels=labels_of(job.solutions, rollouts),
    )


def forks_of(annotator: Annotator, task: Task) -> list[Fork]:
    stem, positions = annotator.open(task)
    return [Fork(stem, branch) for branch in branches_of(positions, K)]


def question_of(job: Job, forks: Sequence[Sequence[Fork]]) -> dict[str, Any]:
    """As `vllm_forks.py` wants it."""
    return {
        "model": str(job.model),
        "dtype": job.dtype,
        "max_new_tokens": job.limit,
        "solutions": [
            {
                "prompt_ids": own[0].stem.prompt_ids,
                "completion_ids": own[0].stem.completion_ids,
                "branches": [{"position": f.branch.position, "token_id": f.branch.token_id} for f in own],
            }
            for own in forks
        ],
    }


def ask(question: dict[str, Any], python: str, threads: int | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "forks.json", Path(folder) / "done.json"
        asked.write_text(json.dumps(question), encoding="utf-8")
        script = str(ROOT / "benchmarks" / "vllm_forks.py")
        subprocess.run([python, script, str(asked), str(answered)], check=True, env=environment(threads))
        answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return answer


def environment(threads: int | None) -> dict[str, str]:
    """With our package, which need not be installed beside vLLM; left to itself, vLLM takes all cores."""
    ours = {"PYTHONPATH": str(ROOT / "src")}
    if threads:
        ours |= {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return {**os.environ, **ours}


def graded(
    job: Job,
    engine: ReferenceEngine,
    verifier: Verifier,
    forks: Sequence[Sequence[Fork]],
    completions: Sequence[TokenIds],
) -> list[Rollout]:
    """vLLM's token ids as rollouts, cut as those of any engine."""
    tokenizer, stops, decoding = engine.tokenizer, engine.stop_token_ids, job.decoding
    flat = [(task, fork) for task, own in zip(job.tasks, forks, strict=True) for fork in own]
    rollouts = []
    for (task, fork), ids in zip(flat, completions, strict=True):
        done = finish(tokenizer, ids, stops, decoding, fork.prefix)
        text = tokenizer.decode(fork.prefix + done.token_ids, skip_special_tokens=True)
        grade = verifier.verify(task.problem, text, done.finish_reason)
        rollouts.append(Rollout(task.solution.id, fork.branch, "", done, grade))
    return rollouts
