"""One job in a process of its own."""

import time

import torch

from annotation.job import Job, K, Outcome, completions_of, labels_of
from annotation.meter import Meter, scaled_up
from annotation.methods import make_engine
from cruxtune.counterfactual import Annotator, Task
from cruxtune.engines.loading import load_both
from cruxtune.models import find_model
from cruxtune.records import Rollout
from cruxtune.verify import Verifier
from measuring.apart import apart
from measuring.memory import peak_gib


def run_apart(job: Job) -> Outcome:
    """The outcome of a job; nothing of what ran before is in its memory."""
    return apart(work, job)


def work(job: Job) -> Outcome:
    """The outcome of a job, measured here."""
    if job.threads:
        torch.set_num_threads(job.threads)
    files = find_model(str(job.model), None)
    model, tokenizer = load_both(files, trust_remote_code=False, dtype=job.dtype, device=job.device)
    meter = Meter(model)
    engine = make_engine(job, model, tokenizer, meter)
    with Verifier() as verifier:
        annotator = Annotator(engine, verifier, job.decoding, K, is_lazy=job.method == "lazy")
        annotate(annotator, [job.beginning], job)
        meter.clear()
        began = time.perf_counter()
        rollouts = annotate(annotator, job.tasks, job)
        seconds = time.perf_counter() - began
    outcome = sample_outcome if meter.num_dropped else whole_outcome
    return outcome(rollouts, seconds, meter, job)


def annotate(annotator: Annotator, tasks: list[Task], job: Job) -> list[Rollout]:
    rollouts = [rollout for evidence in annotator.annotate(iter(tasks)) for rollout in evidence.rollouts]
    if torch.device(job.device).type == "cuda":
        torch.cuda.synchronize()
    return rollouts


def whole_outcome(rollouts: list[Rollout], seconds: float, meter: Meter, job: Job) -> Outcome:
    return Outcome(
        seconds=seconds,
        rollouts=len(rollouts),
        rollout_tokens=sum(len(rollout.continuation.token_ids) for rollout in rollouts),
        forward_tokens=meter.forward_tokens,
        peak_gib=peak_gib(job.device),
        completions=completions_of(rollouts),
        labels=labels_of(job.solutions, rollouts),
    )


def sample_outcome(rollouts: list[Rollout], seconds: float, meter: Meter, job: Job) -> Outcome:
    """All branches at the price of those that were measured; solutions are opened once in any case."""
    num_all = len(rollouts) + meter.num_dropped
    time_of_all = scaled_up(seconds, [reading.seconds for reading in meter.readings], num_all)
    forwarded = [reading.forward_tokens for reading in meter.readings]
    tokens = [len(rollout.continuation.token_ids) for rollout in rollouts]
    return Outcome(
        seconds=time_of_all.total,
        rollouts=num_all,
        rollout_tokens=round(scaled_up(sum(tokens), tokens, num_all).total),
        forward_tokens=round(scaled_up(meter.forward_tokens, forwarded, num_all).total),
        peak_gib=peak_gib(job.device),
        completions=completions_of(rollouts),
        seconds_error=time_of_all.error,
    )
