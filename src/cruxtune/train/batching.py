"""Examples to tensors: padded rows, or all sequences of a micro-batch in one row without padding.

Nothing is predicted after a sequence's last weighted token, and no token looks ahead: the rest is cut off.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

IGNORED = -100
"""The label of a token that needs no prediction, in transformers' convention."""

Batch = dict[str, Tensor]
Feature = dict[str, Any]


class Targets(NamedTuple):
    """The tokens that have a weight, over all rows of a batch."""

    positions: Int[Tensor, "tokens"]
    """Of the hidden states that predict them, in the batch's rows joined to one."""
    ids: Int[Tensor, "tokens"]
    weights: Float[Tensor, "tokens"]


class PaddedCollator:
    """Rows of one length, padded on the right with tokens of weight 0 that nothing attends to."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad_token_id = pad_token_id

    def __call__(self, features: Sequence[Feature]) -> Batch:
        needed = needed_parts(features)
        ids = [torch.tensor(feature["input_ids"]) for feature in needed]
        weights = [torch.tensor(feature["loss_weights"], dtype=torch.float32) for feature in needed]
        return {
            "input_ids": _pad(ids, self._pad_token_id),
            "attention_mask": _pad([torch.ones_like(row) for row in ids], 0),
            "loss_weights": _pad(weights, 0.0),
            "denominator": _denominator(features),
        }


class PaddingFreeCollator:
    """One row that holds all sequences; positions start again at 0 where the next one begins."""

    def __call__(self, features: Sequence[Feature]) -> Batch:
        needed = needed_parts(features)
        weights = [weight for feature in needed for weight in _without_first(feature["loss_weights"])]
        position_ids = torch.cat([torch.arange(len(feature["input_ids"])) for feature in needed])
        return {
            "input_ids": torch.tensor([[token for feature in needed for token in feature["input_ids"]]]),
            "position_ids": position_ids[None],
            "loss_weights": torch.tensor([weights]),
            "denominator": _denominator(features),
        }


def needed_parts(features: Sequence[Feature]) -> list[Feature]:
    """Each sequence up to its last weighted token; those without any only where there is nothing else."""
    parts = [_needed(feature) for feature in features]
    return [part for part in parts if len(part["input_ids"]) > 1] or parts[:1]


def find_targets(input_ids: Int[Tensor, "batch seq"], loss_weights: Float[Tensor, "batch seq"]) -> Targets:
    """What has to be predicted, and where: the one place where the next-token shift happens.

    Where nothing has a weight, one token without an id stands in, so that every batch has a gradient.
    """
    rows, columns = loss_weights[:, 1:].nonzero(as_tuple=True)
    if not len(rows):
        nowhere = input_ids.new_zeros(1)
        return Targets(nowhere, torch.full_like(nowhere, IGNORED), loss_weights.new_zeros(1))
    positions = rows * input_ids.shape[1] + columns
    return Targets(positions, input_ids[rows, columns + 1], loss_weights[rows, columns + 1])


def _needed(feature: Feature) -> Feature:
    weights = feature["loss_weights"]
    end = 1 + max((index for index, weight in enumerate(weights) if weight and index), default=0)
    return {"input_ids": feature["input_ids"][:end], "loss_weights": weights[:end]}


def _denominator(features: Sequence[Feature]) -> Float[Tensor, "sequences"]:
    return torch.tensor([feature["denominator"] for feature in features], dtype=torch.float32)


def _pad(rows: Sequence[Tensor], value: float | int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def _without_first(weights: Sequence[float]) -> list[float]:
    """A sequence's first token has nothing before it that could predict it."""
    return [0.0, *weights[1:]]
