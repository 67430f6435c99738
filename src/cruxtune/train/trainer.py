"""trl's SFTTrainer with a weight per token: sum(w·nll) / sum(w) over the whole optimizer step.

Everything else (accumulation, LoRA, bf16, checkpointing, several processes, loggers) is trl's own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import SFTTrainer  # type: ignore[attr-defined]

from cruxtune.records import Example
from cruxtune.train.objective import next_token_weights, weighted_nll


class WeightedTrainer(SFTTrainer):
    """Trains on rows of `input_ids` and `loss_weights`; it knows weights, not methods."""

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """The denominator of an optimizer step: the weights of all its micro-batches on all ranks."""
        weight = torch.zeros((), device=device)
        for batch in batch_samples:
            weight += next_token_weights(batch["loss_weights"]).sum().to(device)
        return self.accelerator.gather(weight).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """This micro-batch's share of the step's loss; the shares of a step add up to it."""
        weights = next_token_weights(inputs.pop("loss_weights"))
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        total = weighted_nll(outputs.log_probs, weights)
        weight = total.weight if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = total.loss / _or_one(weight)
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        self._record(outputs, weights)
        return (loss, outputs) if return_outputs else loss

    def _record(self, outputs: Any, weights: Tensor) -> None:
        """Entropy and accuracy on the tokens that are trained on, for trl's log."""
        trained = weights != 0
        mode = "train" if self.model and self.model.training else "eval"
        count = _or_one(trained.sum())
        self._metrics[mode]["entropy"].append((outputs.entropy.detach().sum() / count).item())
        self._metrics[mode]["mean_token_accuracy"].append((outputs.is_top1.sum() / count).item())


def to_dataset(examples: Sequence[Example]) -> Dataset:
    """The examples as the rows that WeightedTrainer reads."""
    return Dataset.from_dict(
        {
            "input_ids": [example.input_ids for example in examples],
            "loss_weights": [example.loss_weights for example in examples],
        }
    )


def _or_one(weight: Tensor) -> Tensor:
    """A step in which nothing is selected has a loss of 0, not of 0/0."""
    return torch.where(weight == 0, torch.ones_like(weight), weight)
