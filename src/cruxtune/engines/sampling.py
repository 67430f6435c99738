"""Sampling with a random generator a row: a text doesn't depend on its neighbours in the batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList


class GumbelNoise(LogitsProcessor):
    """Makes the most probable token a drawn one: argmax of logits / temperature + Gumbel noise."""

    def __init__(self, seeds: Sequence[int], temperature: float, device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._temperature = temperature

    def __call__(
        self, input_ids: Int[Tensor, "batch seq"], scores: Float[Tensor, "batch vocab"]
    ) -> Float[Tensor, "batch vocab"]:
        times = torch.empty_like(scores)
        for row, generator in zip(times, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores / self._temperature - times.log()


def drawing_by_row(seeds: Sequence[int], temperature: float, device: torch.device) -> LogitsProcessorList:
    """What turns a greedy `generate` into a sampling one, with a seed a row."""
    return LogitsProcessorList([GumbelNoise(seeds, temperature, device)])
