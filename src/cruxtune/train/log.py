"""The log of a run: one JSON line an optimizer step, written as it happens."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from cruxtune.progress import Bar
from cruxtune.store.files import write_text
from cruxtune.train.processes import is_main_process

KEYS = (
    "step",
    "epoch",
    "loss",
    "grad_norm",
    "learning_rate",
    "entropy",
    "mean_token_accuracy",
    "entropy_weighted",
    "accuracy_weighted",
    "entropy_other",
    "accuracy_other",
)
Entry = dict[str, float]


class StepLog(TrainerCallback):
    """Writes each step's line when it is done; a run that goes on drops those that it will repeat."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if is_main_process():
            write_text(self._path, to_lines(entries(state.log_history)))

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if is_main_process():
            with self._path.open("a", encoding="utf-8") as file:
                file.write(to_lines(entries(state.log_history[-1:])))


class StepBar(TrainerCallback):
    """Moves a progress bar with the optimizer's steps, and says how it goes."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._entropy = ""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "entropy_other" in logs:
            self._entropy = f", entropy of other tokens {logs['entropy_other']:.3f}"
        if logs and "loss" in logs:
            self._bar.note(f"loss {logs['loss']:.3f}{self._entropy}")


def entries(history: Iterable[Mapping[str, float]]) -> list[Entry]:
    """The steps of a trainer's history, and of each what is known by name."""
    return [{key: float(step[key]) for key in KEYS if key in step} for step in history if "loss" in step]


def to_lines(found: Iterable[Entry]) -> str:
    """One JSON object a line; what is no number is null."""
    plain = [{key: value if math.isfinite(value) else None for key, value in e.items()} for e in found]
    return "".join(json.dumps(entry) + "\n" for entry in plain)
