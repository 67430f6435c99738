"""One trainer at work, measured."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from measuring.memory import forget_peak, held_gib, peak_gib
from training.job import WARM_UP, Job, Outcome
from training.trainers import trainer_of


class Clock(TrainerCallback):
    """Seconds of each optimizer step."""

    def __init__(self, device: str) -> None:
        self.seconds: list[float] = []
        self._device = device
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = self._now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(self._now() - self._began)

    def _now(self) -> float:
        if torch.device(self._device).type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def work(job: Job) -> Outcome:
    if job.threads:
        torch.set_num_threads(job.threads)
    with tempfile.TemporaryDirectory(prefix="train-benchmark-") as directory:
        return measured(job, Path(directory))


def measured(job: Job, directory: Path) -> Outcome:
    clock = Clock(job.device)
    trainer = trainer_of(job, directory, clock)
    forget_peak(job.device)
    before = held_gib(job.device)
    trainer.train()
    peak = peak_gib(job.device)
    return Outcome(
        seconds=clock.seconds[WARM_UP:],
        peak_gib=peak,
        training_gib=None if peak is None or before is None else peak - before,
        losses=[entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    )
