"""What training does to the tokens that it trains on, and to those that it leaves alone."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import TrainerCallback

from cruxtune.records import Example
from cruxtune.train.batching import find_targets
from cruxtune.train.scoring import Scorer

NUM_EXAMPLES = 4


class Monitor(TrainerCallback):
    """Measures the same few examples again and again, whole, on a model that stands still.

    Critical-token fine-tuning is said to keep the entropy where it does not train (CFT paper, section
    3.3): the log shows it. The first measurement is of the base model.
    """

    def __init__(self, trainer: Any, examples: Sequence[Example], every: int) -> None:
        self._trainer = trainer
        self._examples = spread(examples, NUM_EXAMPLES)
        self._every = every
        self._scorer = Scorer(trainer.plain_model, trainer.in_tiles)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self._every == 0:
            self._trainer.note(self.measure())

    def measure(self) -> dict[str, float]:
        """Means over the tokens of all examples."""
        model = self._trainer.model
        was_training = model.training
        model.eval()
        with torch.no_grad():
            found = [self._measure(example, model.device) for example in self._examples]
        model.train(was_training)
        return means(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _measure(self, example: Example, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Of each response token: its entropy, whether it is the most probable, whether it has a weight."""
        input_ids = torch.tensor([example.input_ids], device=device)
        weights = torch.tensor([example.loss_weights], device=device)
        is_response = torch.ones_like(weights)
        is_response[:, : example.num_prompt_tokens] = 0.0
        targets = find_targets(input_ids, is_response)
        scores = self._scorer(self._trainer.model_wrapped, {"input_ids": input_ids}, targets)
        return scores.entropy, scores.is_top1, weights[0, targets.positions + 1] > 0


def means(
    entropy: Float[Tensor, "tokens"], is_top1: Bool[Tensor, "tokens"], is_weighted: Bool[Tensor, "tokens"]
) -> dict[str, float]:
    """Apart for tokens with and without a weight; nothing is said of tokens that there are none of."""
    found = {}
    for name, chosen in (("weighted", is_weighted), ("other", ~is_weighted)):
        if chosen.any():
            found[f"entropy_{name}"] = entropy[chosen].mean().item()
            found[f"accuracy_{name}"] = is_top1[chosen].float().mean().item()
    return found


def spread(examples: Sequence[Example], number: int) -> list[Example]:
    """So many, evenly over all of them."""
    number = min(number, len(examples))
    return [examples[index * len(examples) // number] for index in range(number)]
