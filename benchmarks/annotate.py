"""Annotation side by side: the plain ways, vLLM, and the trunk engine with and without its parts.

    python benchmarks/annotate.py                      # everything: an hour and more on two cores
    python benchmarks/annotate.py --lengths 150 --shapes 1x1 --methods batched trunk lazy

Each method annotates the same solutions in a process of its own, with the verifier, and has to give the same
labels. `alone` (one branch at a time) is measured on a sample of the solutions' branches and scaled up.
Needs a machine with nothing else to do: threads wait for each other actively.
Writes a table to the terminal and all numbers to a JSON file.
"""

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from workload import LENGTHS, base_model, shaped_model, solutions_of

from cruxtune.counterfactual import Annotator, Task
from cruxtune.engines import Continued, Decoding, Engine, Fork, Stem, TakeFork
from cruxtune.engines.loading import load_both
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.engines.trunk import TrunkEngine
from cruxtune.models import find_model
from cruxtune.problems import find_template
from cruxtune.records import Completion, FinishReason, Problem, Rollout, Solution
from cruxtune.select import gather_evidence, strict
from cruxtune.verify import StopRule, Verifier

METHODS = {
    "alone": "one branch at a time (`generate`)",
    "batched": "the paper's batched scheme (`generate`, left-padded)",
    "batches": "the same, in batches of 64 (reference engine)",
    "vllm": "vLLM, prefix caching",
    "no-drafts": "trunk, no drafts",
    "trunk": "trunk",
    "lazy": "trunk, lazy k",
}
K = 3


@dataclass
class Job:
    """What one process is asked to measure."""

    method: str
    model: str
    problems: list[Problem]
    solutions: list[Solution]
    limit: int
    sample: int
    device: str
    dtype: str


@dataclass
class Outcome:
    """What it found."""

    seconds: float
    rollouts: int
    rollout_tokens: int
    forward_tokens: int | None
    """Tokens that went through the model, padding included."""
    peak_gib: float
    labels: dict[str, list[str]] = field(repr=False)
    completions: dict[str, list[int]] = field(repr=False)
    """By solution, position and rank."""


class Plain(ReferenceEngine):
    """Bare `generate`, which stops at stop tokens only: texts are looked at when it is done."""

    def _generate_batch(self, prompts: Sequence, decoding: Decoding, *others) -> list:
        return super()._generate_batch(prompts, replace(decoding, stop=(), is_settled=None), *others)


class BatchedScheme(Plain):
    """All positions of one solution for a fixed rank in one padded batch (eq. 7)."""

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        groups: dict[tuple[Stem, int], list[Fork]] = {}
        for fork in iter(take, None):
            groups.setdefault((fork.stem, fork.branch.rank), []).append(fork)
        for forks in groups.values():
            yield self._continue_batch(forks, decoding)


class Sampled(Plain):
    """Every n-th branch alone; the others are dropped."""

    sample = 1

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        for number, fork in enumerate(iter(take, None)):
            if number % self.sample == 0:
                yield self._continue_batch([fork], decoding)


def main() -> None:
    arguments = parse_arguments()
    if arguments.worker:
        work(arguments.worker)
        return
    results = list(measure_all(arguments))
    arguments.output.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"\n{arguments.output}")


def measure_all(arguments: argparse.Namespace) -> Iterator[dict]:
    cache = arguments.cache
    for tokens in arguments.lengths:
        length = LENGTHS[tokens]
        base = base_model(length, cache)
        problems, solutions = solutions_of(base, length, arguments.solutions or length.num_solutions)
        for shape in arguments.shapes:
            width, depth = map(int, shape.split("x"))
            model = shaped_model(base, width, depth, cache)
            outcomes = {}
            for method in arguments.methods:
                job = Job(
                    method,
                    str(model),
                    problems,
                    solutions,
                    length.limit,
                    arguments.sample,
                    arguments.device,
                    arguments.dtype,
                )
                if outcome := measure(job, arguments.vllm_python, arguments.repeats):
                    outcomes[method] = outcome
            compare(outcomes)
            yield from report(tokens, shape, model, solutions, outcomes)


def measure(job: Job, vllm_python: str | None, repeats: int) -> Outcome | None:
    """The faster of several runs, each in a process of its own; what takes a minute is run once."""
    if job.method == "vllm" and not vllm_python:
        return None
    run = (lambda: run_vllm(job, str(vllm_python))) if job.method == "vllm" else (lambda: run_worker(job))
    outcomes = [run()]
    while len(outcomes) < repeats and outcomes[0].seconds < 60:
        outcomes.append(run())
    return min(outcomes, key=lambda outcome: outcome.seconds)


def run_worker(job: Job) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job"
        path.write_bytes(pickle.dumps(job))
        subprocess.run([sys.executable, __file__, "--worker", str(path)], check=True)
        return pickle.loads(path.with_suffix(".done").read_bytes())


def work(path: Path) -> None:
    job: Job = pickle.loads(path.read_bytes())
    files = find_model(job.model, None)
    model, tokenizer = load_both(files, trust_remote_code=False, dtype=job.dtype, device=job.device)
    forwarded = count_forwarded(model)
    engine = make_engine(job, model, tokenizer)
    with Verifier() as verifier:
        warm = [solution_cut(job.solutions[0])]
        list(annotator(job, engine, verifier).annotate([Task(job.problems[0], warm[0])]))
        forwarded.clear()
        began = time.perf_counter()
        tasks = [Task(p, s) for p, s in zip(job.problems, job.solutions, strict=True)]
        rollouts = [r for e in annotator(job, engine, verifier).annotate(iter(tasks)) for r in e.rollouts]
        if job.device != "cpu":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    outcome = to_outcome(job, rollouts, seconds, sum(forwarded))
    path.with_suffix(".done").write_bytes(pickle.dumps(outcome))


def solution_cut(solution: Solution) -> Solution:
    """Its beginning: enough to warm up on."""
    done = solution.completion
    cut = Completion(done.token_ids[:8], done.text, FinishReason.LENGTH)
    return Solution("warm", solution.problem_id, solution.prompt_ids, cut, solution.grade, solution.origin)


def make_engine(job: Job, model, tokenizer) -> Engine:
    if job.method == "alone":
        engine = Sampled(model, tokenizer, batch_size=1)
        engine.sample = job.sample
        return engine
    if job.method == "batched":
        return BatchedScheme(model, tokenizer)
    if job.method == "batches":
        return Plain(model, tokenizer, batch_size=64)
    return TrunkEngine(model, tokenizer, max_draft=0 if job.method == "no-drafts" else 6)


def annotator(job: Job, engine: Engine, verifier: Verifier) -> Annotator:
    return Annotator(engine, verifier, decoding_of(job), K, is_lazy=job.method == "lazy")


def decoding_of(job: Job) -> Decoding:
    return Decoding(job.limit, find_template("cot").stop, is_settled=StopRule((job.problems[0].kind,)))


def count_forwarded(model) -> list[int]:
    """A list that gets the number of tokens of each forward pass, padding included."""
    counts: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: counts.append(
            (kwargs["input_ids"] if "input_ids" in kwargs else args[0]).numel()
        ),
        with_kwargs=True,
    )
    return counts


def to_outcome(job: Job, rollouts: Sequence[Rollout], seconds: float, forwarded: int | None) -> Outcome:
    scale = job.sample if job.method == "alone" else 1
    tokens = sum(len(rollout.continuation.token_ids) for rollout in rollouts)
    labels = {}
    if job.method != "alone":
        evidence = gather_evidence(job.solutions, rollouts)
        labels = {item.solution_id: [str(label) for label in strict(item, K)] for item in evidence}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if job.device != "cpu":
        peak = torch.cuda.max_memory_allocated() / 2**30
    return Outcome(
        seconds * scale,
        len(rollouts) * scale,
        tokens * scale,
        None if forwarded is None else forwarded * scale,
        peak,
        labels,
        {name_of(r): r.continuation.token_ids for r in rollouts},
    )


def name_of(rollout: Rollout) -> str:
    return f"{rollout.solution_id} {rollout.branch.position} {rollout.branch.rank}"


def compare(outcomes: dict[str, Outcome]) -> None:
    """All methods must give the same labels; a branch that differs is counted (a near-tie can do that)."""
    reference = outcomes.get("batched") or next(iter(outcomes.values()))
    for method, outcome in outcomes.items():
        pairs = [
            (reference.completions[name], ids)
            for name, ids in outcome.completions.items()
            if name in reference.completions
        ]
        differing = sum(one != other for one, other in pairs)
        same = not outcome.labels or outcome.labels == reference.labels
        print(
            f"{method}: {'the same labels' if same else 'OTHER LABELS'}, "
            f"{differing} of {len(pairs)} branches differ"
        )


def report(
    tokens: int, shape: str, model: Path, solutions: Sequence[Solution], outcomes: dict[str, Outcome]
) -> Iterator[dict]:
    batched = outcomes.get("batched")
    lengths = [len(solution.completion.token_ids) for solution in solutions]
    table = Table(
        title=f"{len(solutions)} solutions of {min(lengths)}-{max(lengths)} tokens, {shape}: {size_of(model)}"
    )
    for heading in ("", "seconds", "speed-up", "rollouts", "tokens/s", "forward tokens", "peak GiB"):
        table.add_column(heading, justify="left" if not heading else "right")
    for method, outcome in outcomes.items():
        ratio = batched.seconds / outcome.seconds if batched else float("nan")
        per_second = outcome.rollout_tokens / outcome.seconds
        forward = "" if outcome.forward_tokens is None else f"{outcome.forward_tokens:,}"
        table.add_row(
            METHODS[method],
            f"{outcome.seconds:.1f}",
            f"{ratio:.1f}×",
            f"{outcome.rollouts:,}",
            f"{per_second:,.0f}",
            forward,
            f"{outcome.peak_gib:.1f}",
        )
        numbers = {k: v for k, v in asdict(outcome).items() if k not in ("labels", "completions")}
        yield {"length": tokens, "shape": shape, "method": method, "speed_up": ratio, **numbers}
    Console(width=130).print(table)


def size_of(model: Path) -> str:
    loaded, _ = load_both(find_model(str(model), None), trust_remote_code=False)
    return f"{loaded.num_parameters() / 1e6:.1f} M parameters"


def run_vllm(job: Job, python: str) -> Outcome:
    """All branches by `vllm_forks.py`, in the environment that has vLLM; only their continuation is timed."""
    model, tokenizer = load_both(find_model(job.model, None), trust_remote_code=False)
    engine = ReferenceEngine(model, tokenizer)
    annotating = annotator(job, engine, Verifier())
    tasks = [Task(p, s) for p, s in zip(job.problems, job.solutions, strict=True)]
    forks = [eager_forks(annotating, task) for task in tasks]
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "forks.json", Path(folder) / "done.json"
        question.write_text(json.dumps(vllm_question(job, forks)), encoding="utf-8")
        script = Path(__file__).with_name("vllm_forks.py")
        subprocess.run([python, str(script), str(question), str(answer)], check=True)
        found = json.loads(answer.read_text(encoding="utf-8"))
    rollouts = graded(job, tokenizer, forks, found["completions"])
    outcome = to_outcome(job, rollouts, found["seconds"], None)
    outcome.peak_gib = found.get("peak_gib", float("nan"))
    return outcome


def eager_forks(annotating: Annotator, task: Task) -> list[Fork]:
    from cruxtune.counterfactual import branches_of

    stem, positions = annotating.open(task)
    return [Fork(stem, branch) for branch in branches_of(positions, K)]


def vllm_question(job: Job, forks: Sequence[Sequence[Fork]]) -> dict:
    return {
        "model": job.model,
        "max_new_tokens": job.limit,
        "stop": list(find_template("cot").stop),
        "solutions": [
            {
                "prompt_ids": own[0].stem.prompt_ids,
                "completion_ids": own[0].stem.completion_ids,
                "branches": [{"position": f.branch.position, "token_id": f.branch.token_id} for f in own],
            }
            for own in forks
        ],
    }


def graded(
    job: Job, tokenizer, forks: Sequence[Sequence[Fork]], completions: Sequence[Sequence[int]]
) -> list[Rollout]:
    """vLLM's token ids as rollouts, cut and verified as those of any engine."""
    from cruxtune.engines.loading import stop_token_ids
    from cruxtune.engines.texts import finish

    model, _ = load_both(find_model(job.model, None), trust_remote_code=False)
    stops, decoding = stop_token_ids(model, tokenizer), decoding_of(job)
    flat = [(p, s, f) for p, s, own in zip(job.problems, job.solutions, forks, strict=True) for f in own]
    rollouts = []
    with Verifier() as verifier:
        for (problem, solution, fork), ids in zip(flat, completions, strict=True):
            done = finish(tokenizer, list(ids), stops, decoding, fork.prefix)
            text = tokenizer.decode(fork.prefix + done.token_ids, skip_special_tokens=True)
            grade = verifier.verify(problem, text, done.finish_reason)
            rollouts.append(Rollout(solution.id, fork.branch, "", done, grade))
    return rollouts


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, nargs="+", choices=LENGTHS, default=[50, 150, 300])
    parser.add_argument("--shapes", nargs="+", default=["1x1", "2x1", "4x1"], help="width x depth")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--solutions", type=int, help="default: fewer of longer ones")
    parser.add_argument("--sample", type=int, default=16, help="`alone` takes every n-th branch")
    parser.add_argument("--repeats", type=int, default=2, help="the fastest counts")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--vllm-python", default=os.environ.get("CRUXTUNE_VLLM_PYTHON"))
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--output", type=Path, default=Path("annotate-benchmark.json"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
