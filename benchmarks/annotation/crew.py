"""One job by several processes with an engine each, as `cruxtune annotate --workers N` spreads it."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from annotation.job import Job, K, Outcome, completions_of, labels_of
from cruxtune.counterfactual import Task
from cruxtune.engines import Decoding, Engine
from cruxtune.models import find_model
from cruxtune.recipe import Recipe
from cruxtune.records import Problem
from cruxtune.stages.annotate import open_work
from cruxtune.stages.processes import OnProcesses, open_processes
from cruxtune.verify import Verifier
from measuring.memory import peak_gib_of_children


def run_crew(job: Job, is_lazy: bool) -> Outcome:
    """Every core has its worker; timed from when all of them are warm."""
    num_workers = len(os.sched_getaffinity(0))
    with open_processes(recipe_of(job, is_lazy), find_model(str(job.model), None), num_workers) as crew:
        warm_up(crew, num_workers, job)
        began = time.perf_counter()
        stream = crew.annotate(partial(open_work, job.decoding), iter(job.tasks), len(job.tasks))
        rollouts = [rollout for evidence in stream for rollout in evidence.rollouts]
        seconds, peak = time.perf_counter() - began, peak_gib_of_children()
    return Outcome(
        seconds=seconds,
        rollouts=len(rollouts),
        rollout_tokens=sum(len(rollout.continuation.token_ids) for rollout in rollouts),
        forward_tokens=None,
        peak_gib=peak,
        completions=completions_of(rollouts),
        labels=labels_of(job.solutions, rollouts),
    )


def recipe_of(job: Job, is_lazy: bool) -> Recipe:
    source = {"type": "synthetic"}
    return Recipe.model_validate(
        {
            "name": "benchmark",
            "output_dir": "benchmark",
            "model": {"name": str(job.model), "dtype": job.dtype},
            "engine": {"type": "trunk", "device": job.device, "max_tokens": job.engine_tokens},
            "problems": source,
            "annotate": {"k": K, "mode": "lazy" if is_lazy else "eager"},
            "select": {"all": {"type": "all"}},
            "train": {"selections": ["all"]},
            "evaluate": {"benchmarks": {"test": source}},
        }
    )


def warm_up(crew: OnProcesses, num_workers: int, job: Job) -> None:
    """Each worker opens its engine, annotates a little, and waits for the others."""
    with tempfile.TemporaryDirectory() as folder:
        work = partial(open_warming, job.beginning, job.decoding, Path(folder), num_workers)
        list(crew.each(work, [(index, []) for index in range(num_workers)]))


def open_warming(
    task: Task,
    decoding: Decoding,
    folder: Path,
    num_workers: int,
    recipe: Recipe,
    engine: Engine,
    verifier: Verifier,
) -> Callable[[int, Sequence[Problem]], list[Any]]:
    annotate = open_work(decoding, recipe, engine, verifier)

    def warm(index: int, problems: Sequence[Problem]) -> list[Any]:
        list(annotate([task]))
        (folder / str(index)).touch()
        while len(list(folder.iterdir())) < num_workers:
            time.sleep(0.01)
        return []

    return warm
