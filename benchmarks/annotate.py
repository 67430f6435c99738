"""Annotation side by side: the plain ways, vLLM, and the trunk engine with and without its parts.

    python benchmarks/annotate.py                      # everything: hours on two cores
    python benchmarks/annotate.py --lengths 150 --shapes 1x1 --methods batched ours

Each method annotates the same solutions in a process of its own, with the verifier, and has to give the same
labels: where one doesn't, the exit code is 1. `alone` (one branch at a time) is measured on some branches and
scaled up. Needs a machine with nothing else to do: threads wait for each other actively.
Writes tables to the terminal and to a Markdown file, and all numbers to the JSON file beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from annotation.agreement import Agreement, compare, require_same_labels
from annotation.crew import run_crew
from annotation.job import Job, Outcome
from annotation.methods import methods_named
from annotation.options import Options, parse_options
from annotation.tables import Table, to_markdown, to_numbers, to_terminal
from annotation.vllm_side import run_vllm
from annotation.worker import run_apart
from cruxtune.engines.loading import load_model
from cruxtune.models import find_model
from measuring.machine import conditions
from measuring.record import Record
from workload import LENGTHS, Length, base_model, shaped_model, solutions_of

LONG = 60.0
"""Seconds: what takes that long is run once."""


def main() -> None:
    options = parse_options(__doc__)
    record = Record(options.output, conditions(options.device, options.dtype, options.threads))
    agreements: list[Agreement] = []
    for table in measure_all(options):
        record.add(to_numbers(table), to_markdown(table))
        Console(width=140).print(to_terminal(table))
        agreements += table.agreements
    print(f"{record.json}\n{record.markdown}")
    require_same_labels(agreements)


def measure_all(options: Options) -> Iterator[Table]:
    for length in (LENGTHS[tokens] for tokens in options.lengths):
        base = base_model(length, options.cache)
        job = first_job(base, length, options)
        for shape in options.shapes:
            model = shaped_model(base, shape.width, shape.depth, options.cache)
            yield measure_shape(replace(job, model=model), str(shape), options)


def first_job(base: Path, length: Length, options: Options) -> Job:
    problems, solutions = solutions_of(base, length, options.solutions or length.num_solutions)
    return Job(
        model=base,
        problems=problems,
        solutions=solutions,
        limit=length.limit,
        sample=options.sample,
        engine_tokens=options.engine_tokens,
        threads=options.threads,
        device=options.device,
        dtype=options.dtype,
    )


def measure_shape(job: Job, shape: str, options: Options) -> Table:
    outcomes: dict[str, Outcome] = {}
    for method in methods_named(options.methods):
        if method == "vllm" and not options.vllm_python:
            print("vllm is left out: name an interpreter that has it with --vllm-python")
            continue
        outcomes[method] = fastest(runner_of(method, options), replace(job, method=method), options.repeats)
        print(compare(outcomes)[-1], flush=True)
    lengths = [len(solution.completion.token_ids) for solution in job.solutions]
    return Table(shape, num_parameters(job.model), lengths, job.limit, outcomes, compare(outcomes))


def runner_of(method: str, options: Options) -> Callable[[Job], Outcome]:
    match method:
        case "vllm":
            return partial(run_vllm, python=str(options.vllm_python))
        case "workers" | "lazy-workers":
            return partial(run_crew, is_lazy=method == "lazy-workers")
    return run_apart


def fastest(run: Callable[[Job], Outcome], job: Job, repeats: int) -> Outcome:
    outcomes = [run(job)]
    while len(outcomes) < repeats and outcomes[0].seconds < LONG:
        outcomes.append(run(job))
    return min(outcomes, key=lambda outcome: outcome.seconds)


def num_parameters(model: Path) -> int:
    return load_model(find_model(str(model), None), device="cpu").num_parameters()


if __name__ == "__main__":
    main()
