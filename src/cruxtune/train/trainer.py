"""trl's SFTTrainer with a weight per token: sum(w·nll) / sum(w) over the whole optimizer step.

Everything else (accumulation, LoRA, bf16, checkpointing, several processes, loggers) is trl's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel, get_peft_model
from torch import Tensor
from trl import SFTTrainer  # type: ignore[attr-defined]

from cruxtune.train.batching import Targets, find_targets
from cruxtune.train.normalising import Row
from cruxtune.train.objective import Objective, TokenScores, weighted_nll
from cruxtune.train.sampling import NOTHING, EvenSampler, num_fillers
from cruxtune.train.scoring import Scorer, can_use_tiles


class WeightedTrainer(SFTTrainer):
    """Trains on rows of `input_ids` and `loss_weights`; it knows weights, not methods."""

    def __init__(
        self, model: Any, objective: Objective, peft_config: PeftConfig | None = None, **others: Any
    ) -> None:
        adapted: Any = get_peft_model(model, peft_config) if peft_config else model
        with _head_out_of_sight(adapted):
            super().__init__(model=adapted, **others)
        self._objective = objective
        self._sums = torch.zeros(3, device=self.accelerator.device)
        self.in_tiles = can_use_tiles(self.plain_model, self.is_sharded)
        self._scorer = Scorer(self.plain_model, self.in_tiles, objective.needs_top_entropy)

    @property
    def plain_model(self) -> Any:
        """transformers' own, inside the adapters."""
        model: Any = self.model
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    @property
    def is_sharded(self) -> bool:
        """Whether no process holds all weights."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def note(self, measured: Mapping[str, float]) -> None:
        """Put measurements into the log of the step."""
        for name, value in measured.items():
            self._metrics["train"][name].append(value)

    def _get_train_sampler(self, train_dataset: Any = None) -> EvenSampler:
        """All rows once an epoch, however many processes share them."""
        rows: Any = self.train_dataset
        return EvenSampler(len(rows) - 1, self._num_fillers(len(rows) - 1), self.args.data_seed or 0)

    def _num_fillers(self, num_rows: int) -> int:
        return num_fillers(num_rows, self.args.per_device_train_batch_size, self.accelerator.num_processes)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """The denominator of an optimizer step: that of all its micro-batches on all ranks."""
        weight = torch.zeros((), device=device)
        for batch in batch_samples:
            weight += batch["denominator"].sum().to(device)
        return self.accelerator.gather(weight).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """This micro-batch's share of the step's loss; the shares of a step add up to it."""
        own = inputs.pop("denominator").sum()
        targets = find_targets(inputs["input_ids"], inputs.pop("loss_weights"))
        scores = self._scorer(model, inputs, targets)
        total = weighted_nll(scores.logprobs, targets.weights * self._objective.scale(scores))
        loss = total.loss / _or_one(
            own if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        )
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        self._record(scores, targets)
        return (loss, scores) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the means over all tokens of the step, of all micro-batches and processes."""
        if "loss" in logs:
            entropy, is_top1, count = self.accelerator.gather(self._sums[None]).sum(0).tolist()
            self._sums = torch.zeros_like(self._sums)
            if count:
                self.note({"entropy": entropy / count, "mean_token_accuracy": is_top1 / count})
        super().log(logs, start_time)

    def _record(self, scores: TokenScores, targets: Targets) -> None:
        """Entropy and accuracy on the tokens that are trained on, summed up for the log."""
        trained = targets.weights != 0
        found = (scores.entropy[trained], scores.is_top1[trained], trained)
        self._sums = self._sums.to(trained.device) + torch.stack([part.sum().float() for part in found])


@contextmanager
def _head_out_of_sight(model: Any) -> Iterator[None]:
    """trl refuses an adapter on the head, which its own losses would ignore; ours run the head as it is."""
    if not isinstance(model, PeftModel):
        yield
        return
    vars(model)["get_output_embeddings"] = lambda: None
    try:
        yield
    finally:
        del vars(model)["get_output_embeddings"]


def to_dataset(rows: Sequence[Row]) -> Dataset:
    """The rows that WeightedTrainer reads, and one of nothing behind them."""
    names = [field.name for field in fields(Row)]
    return Dataset.from_dict({name: [getattr(row, name) for row in [*rows, NOTHING]] for name in names})


def _or_one(weight: Tensor) -> Tensor:
    """A step in which nothing is selected has a loss of 0, not of 0/0."""
    return torch.where(weight == 0, torch.ones_like(weight), weight)
