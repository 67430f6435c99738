"""One optimizer step: as the real trainer takes it, and by a plain formula on the full logits of one row."""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from random_models import words
from torch import Tensor

from cruxtune.recipe.training import TrainSection
from cruxtune.records import Example
from cruxtune.train.finetune import make_trainer
from cruxtune.train.trainer import WeightedTrainer

Step = tuple[float, dict[str, Tensor]]
"""A loss and its gradients."""
Scale = Callable[[Tensor, int], float]
"""What a token's loss is multiplied by, from the log-probabilities before it and its id."""
WEIGHTS = (0.0, 0.25, 1.0, 2.0)


def dft(logprobs: torch.Tensor, token: int) -> float:
    return math.exp(logprobs[token])


def eaft(logprobs: torch.Tensor, token: int) -> float:
    chosen = sorted((math.exp(value) for value in logprobs.tolist()), reverse=True)[:20]
    shares = [value / sum(chosen) for value in chosen]
    return -sum(share * math.log(share) for share in shares if share > 0) / math.log(20)


SCALES: dict[str, Scale | None] = {"weighted": None, "dft": dft, "eaft": eaft}


def some_examples(
    num_examples: int = 8, weights: tuple[float, ...] = (0.0, 1.0), vocabulary: int = 40
) -> list[Example]:
    rng = random.Random(0)
    examples = []
    for _ in range(num_examples):
        length = rng.randint(6, 20)
        prompt = rng.randint(1, 4)
        ids = [rng.randrange(2, vocabulary) for _ in range(length)]
        examples.append(Example(ids, [0.0] * prompt + [rng.choice(weights) for _ in range(length - prompt)]))
    return examples


def trainer_of(model, examples: Sequence[Example], directory: Path, **settings) -> WeightedTrainer:
    """For one step over all examples, unless the settings say otherwise."""
    whole = {"batch_size": len(examples), "micro_batch_size": len(examples), "learning_rate": 1e-3}
    section = TrainSection(num_epochs=1, **(whole | {"monitor_every": 0} | settings))
    trainer = make_trainer(model, words(model.config.vocab_size), examples, section, 0, directory)
    trainer.args.max_grad_norm = 0.0
    return trainer


def real_step(trainer: WeightedTrainer) -> Step:
    """The loss that the trainer logs for its first step, and the gradients that it stepped with."""
    caught: dict[str, Tensor] = {}
    original = trainer.create_optimizer

    def create_optimizer(*args, **kwargs):
        optimizer = original(*args, **kwargs)
        optimizer.register_step_pre_hook(lambda *_: caught or caught.update(gradients(trainer.model)))
        return optimizer

    trainer.create_optimizer = create_optimizer
    trainer.train()
    return trainer.state.log_history[0]["loss"], caught


def plain_loss(
    model, examples: Sequence[Example], denominator: float | None = None, scale: Scale | None = None
):
    """sum(w·scale·nll) / denominator (by default the weights), one row at a time and from full logits."""
    total = torch.zeros(())
    for example in examples:
        ids = torch.tensor(example.input_ids)
        logprobs = model(input_ids=ids[None]).logits[0].float().log_softmax(-1)
        for position in range(1, len(ids)):
            before, token = logprobs[position - 1], int(ids[position])
            factor = example.loss_weights[position] * (scale(before.detach(), token) if scale else 1.0)
            total = total - factor * before[token]
    return total / (denominator or sum(weight for e in examples for weight in e.loss_weights[1:]))


def plain_step(model, examples: Sequence[Example], scale: Scale | None = None) -> Step:
    """The same by the plain formula; the model is left as it was."""
    model.train()
    loss = plain_loss(model, examples, scale=scale)
    loss.backward()
    found = gradients(model)
    model.zero_grad()
    return float(loss.detach()), found


def gradients(model) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found: Step, expected: Step, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    assert found[0] == pytest.approx(expected[0], rel=max(rtol / 10, 1e-5))
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(
            found[1][name], gradient, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )
