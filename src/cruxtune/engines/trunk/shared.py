"""What the tokens of a pass see of their trunks: one call for many tokens of the same stem."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cruxtune.engines.trunk.attention import attend, hide
from cruxtune.engines.trunk.stem import TrunkStem

CHUNK = 128
"""Tokens in one call: enough to fill it, few enough to see about equally much of their trunk."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one stem, next to each other in the order of `SharedTrunks`."""

    stem: TrunkStem
    start: int
    end: int
    num_keys: int
    """As far as any of them sees."""
    mask: Float[Tensor, "1 1 tokens keys"]


class SharedTrunks:
    """The tokens of a pass, ordered by stem and by how far they see."""

    def __init__(self, stems: np.ndarray, prefix: Int[np.ndarray, " tokens"]) -> None:
        numbers = {stem: number for number, stem in enumerate(dict.fromkeys(stems))}
        number = np.array([numbers[stem] for stem in stems])
        order = np.lexsort((prefix, number))
        bounds = np.searchsorted(number[order], np.arange(len(numbers) + 1)).tolist()
        device = stems[0].keys[0].device
        self._order = torch.as_tensor(order, device=device)
        self._place = torch.as_tensor(np.argsort(order), device=device)
        self._chunks = [
            _make_chunk(stem, start, min(start + CHUNK, bounds[n + 1]), prefix[order])
            for stem, n in numbers.items()
            for start in range(bounds[n], bounds[n + 1], CHUNK)
        ]

    def attend(
        self, layer: int, query: Float[Tensor, "heads tokens dim"], scale: float
    ) -> tuple[Float[Tensor, "tokens heads dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to the trunks, and the log of its normaliser."""
        found = list(self._by_chunk(layer, query[:, self._order], scale))
        out = torch.cat([out[0] for out, _ in found], dim=1)[:, self._place]
        lse = torch.cat([lse[0] for _, lse in found], dim=1)[:, self._place]
        return out.transpose(0, 1), lse.transpose(0, 1)

    def _by_chunk(self, layer: int, query: Tensor, scale: float) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in self._chunks:
            keys, values = (
                kept[layer][:, :, : chunk.num_keys] for kept in (chunk.stem.keys, chunk.stem.values)
            )
            yield attend(query[None, :, chunk.start : chunk.end], keys, values, chunk.mask, scale)


def _make_chunk(stem: TrunkStem, start: int, end: int, prefix: Int[np.ndarray, " tokens"]) -> Chunk:
    num_keys, keys = int(prefix[end - 1]), stem.keys[0]
    seen = torch.as_tensor(prefix[start:end], device=keys.device)[:, None]
    mask = hide(torch.arange(num_keys, device=keys.device) >= seen, keys.dtype)
    return Chunk(stem, start, end, num_keys, mask[None, None])
