"""Attention in two pieces: to the trunk that branches share, and to what each branch wrote itself.

The pieces are joined by their log-sum-exp, which gives the softmax over both (Hydragen, Juravsky et al.,
2024).
It plugs into transformers' attention interface: a model forwards one row of packed tokens, and the `Step` in
progress says which token may look where.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

NAME = "cruxtune_trunk"


@runtime_checkable
class Step(Protocol):
    """One forward pass over packed tokens."""

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "heads tokens dim"],
        key: Float[Tensor, "kv_heads tokens dim"],
        value: Float[Tensor, "kv_heads tokens dim"],
        scale: float,
    ) -> Float[Tensor, "tokens heads dim"]:
        """What the attention of one layer gives for every packed token."""
        ...


class UnsupportedAttention(Exception):
    """The model asks its attention for something that pieces can't do."""


def attend(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys dim"],
    mask: Float[Tensor, "masks 1 queries keys"],
    scale: float,
) -> tuple[Float[Tensor, "batch heads queries dim"], Float[Tensor, "batch heads queries"]]:
    """Softmax attention and the log of its normaliser; heads that share a key share one product.

    `mask` is added to the scores.
    """
    batch, heads, queries, dim = query.shape
    groups = heads // key.shape[1]
    if groups > 1:
        query = query.reshape(batch, key.shape[1], groups * queries, dim)
        mask = mask.repeat(1, 1, groups, 1)
    out, lse = _attend(query, key, value, mask, scale)
    return out.reshape(batch, heads, queries, dim), lse.reshape(batch, heads, queries)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if query.device.type == "cpu":
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, False, attn_mask=mask, scale=scale
        )
    return attend_plainly(query, key, value, mask, scale)


def attend_plainly(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """The same by its definition, on any device."""
    scores = torch.matmul(query, key.transpose(2, 3)).float() * scale + mask
    lse = scores.logsumexp(-1, keepdim=True)
    return torch.matmul((scores - lse).exp().to(value.dtype), value), lse[..., 0]


def hide(hidden: Bool[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """A mask to add to scores."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)


def join(
    first: Float[Tensor, "*batch dim"],
    first_lse: Float[Tensor, "*batch"],
    second: Float[Tensor, "*batch dim"],
    second_lse: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch dim"]:
    """Attention over the keys of both pieces, from the attention over each."""
    weight = torch.sigmoid(first_lse - second_lse).to(first.dtype)
    return torch.lerp(second, first, weight[..., None])


@contextmanager
def trunk_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let a model's layers ask the step in progress; `generate` afterwards works as before."""
    before = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    trunk_step: Step | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    if trunk_step is None:
        raise UnsupportedAttention("its layers don't pass keyword arguments on to their attention")
    for name in ("sliding_window", "softcap", "s_aux", "head_mask", "position_bias"):
        if others.get(name) is not None:
            raise UnsupportedAttention(f"its attention uses {name}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return trunk_step.attend(module.layer_idx, query[0], key[0], value[0], scale)[None], None


AttentionInterface.register(NAME, _forward)
