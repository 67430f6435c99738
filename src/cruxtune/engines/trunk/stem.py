"""The trunk: the keys and values of one solution, computed once for all of its branches."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from cruxtune.engines.engine import Stem
from cruxtune.engines.trunk.drafts import DraftIndex


@dataclass(frozen=True, eq=False)
class TrunkStem(Stem):
    """A stem with its keys and values, and with what drafts are looked up in."""

    keys: list[Float[Tensor, "1 kv_heads tokens dim"]] = field(repr=False)
    """A tensor a layer."""
    values: list[Float[Tensor, "1 kv_heads tokens dim"]] = field(repr=False)
    drafts: DraftIndex = field(repr=False)


class TrunkPass:
    """The step that computes a trunk: plain causal attention, whose keys and values are kept."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Causal attention over one text."""
        self.keys.append(key[None].contiguous())
        self.values.append(value[None].contiguous())
        out = torch.nn.functional.scaled_dot_product_attention(
            query[None], key[None], value[None], is_causal=True, scale=scale, enable_gqa=True
        )
        return out[0].transpose(0, 1)
