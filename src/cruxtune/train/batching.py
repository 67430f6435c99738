"""Examples to tensors: padded rows, or all sequences of a micro-batch in one row without padding."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

IGNORED = -100
"""The label of a token that needs no prediction, in transformers' convention."""

Batch = dict[str, Tensor]
Features = Sequence[dict[str, Any]]


class PaddedCollator:
    """Rows of one length, padded on the right with tokens of weight 0 that nothing attends to."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad_token_id = pad_token_id

    def __call__(self, features: Features) -> Batch:
        ids = [torch.tensor(feature["input_ids"]) for feature in features]
        weights = [torch.tensor(feature["loss_weights"], dtype=torch.float32) for feature in features]
        input_ids = _pad(ids, self._pad_token_id)
        loss_weights = _pad(weights, 0.0)
        attention_mask = _pad([torch.ones_like(row) for row in ids], 0)
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "loss_weights": loss_weights,
            "labels": to_labels(input_ids, loss_weights),
        }


class PaddingFreeCollator:
    """One row that holds all sequences; positions start again at 0 where the next one begins."""

    def __call__(self, features: Features) -> Batch:
        input_ids = torch.tensor([[token for feature in features for token in feature["input_ids"]]])
        loss_weights = torch.tensor(
            [[weight for feature in features for weight in _without_first(feature["loss_weights"])]]
        )
        position_ids = torch.cat([torch.arange(len(feature["input_ids"])) for feature in features])
        return {
            "input_ids": input_ids,
            "position_ids": position_ids[None],
            "loss_weights": loss_weights,
            "labels": to_labels(input_ids, loss_weights),
        }


def to_labels(
    input_ids: Int[Tensor, "batch seq"], loss_weights: Float[Tensor, "batch seq"]
) -> Int[Tensor, "batch seq"]:
    """The labels that say where log-probabilities are needed: only there is the head computed."""
    return input_ids.masked_fill(loss_weights == 0, IGNORED)


def _pad(rows: Sequence[Tensor], value: float | int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def _without_first(weights: Sequence[float]) -> list[float]:
    """A sequence's first token has nothing before it that could predict it."""
    return [0.0, *weights[1:]]
