"""Keys and values of what branches write: what a cohort asks of the memory that keeps them."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cruxtune.engines.trunk.stem import TrunkStem


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tokens of a pass go: a table of a cohort's rows, with gaps behind the shorter ones."""

    columns: Int[np.ndarray, "rows width"]
    is_used: Bool[np.ndarray, "rows width"]

    @property
    def last(self) -> Int[np.ndarray, " rows"]:
        """The last column of each row."""
        return self.columns[:, 0] + self.is_used.sum(axis=1) - 1

    @property
    def row_of_token(self) -> Int[np.ndarray, " tokens"]:
        return np.ascontiguousarray(np.nonzero(self.is_used)[0])

    @property
    def column_of_token(self) -> Int[np.ndarray, " tokens"]:
        return self.columns[self.is_used]


class Removal:
    """Rows go; the last ones that stay move into their places."""

    def __init__(self, has_ended: Bool[np.ndarray, " rows"]) -> None:
        self.has_ended = has_ended
        self.num_kept = int((~has_ended).sum())
        self.holes: Int[np.ndarray, " moved"] = np.flatnonzero(has_ended[: self.num_kept])
        self.movers: Int[np.ndarray, " moved"] = self.num_kept + np.flatnonzero(~has_ended[self.num_kept :])

    def of(self, rows: np.ndarray) -> np.ndarray:
        """What is left of an array with one entry a row."""
        rows[self.holes] = rows[self.movers]
        return rows[: self.num_kept]


@runtime_checkable
class Cache(Protocol):
    """Keys and values of the rows of one cohort."""

    pads: bool
    """Whether rows cost as much as the longest beside them."""

    def prepare(self, places: Places) -> None:
        """Room for the tokens of a pass, and all that is the same for every layer."""
        ...

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "heads tokens dim"],
        key: Float[Tensor, "kv_heads tokens dim"],
        value: Float[Tensor, "kv_heads tokens value_dim"],
        scale: float,
    ) -> tuple[Float[Tensor, "tokens heads value_dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to what each row wrote itself, and the log of its normaliser."""
        ...

    def drop(self, removal: Removal, longest: int) -> None:
        """Let rows go; no row that stays has more than `longest` tokens."""
        ...

    def absorb(self, other: Any) -> None:
        """Take over all rows of another cache, behind those here."""
        ...


@runtime_checkable
class Trunks(Protocol):
    """The trunks that the tokens of a pass share."""

    def attend(
        self, layer: int, query: Float[Tensor, "heads tokens dim"], scale: float
    ) -> tuple[Float[Tensor, "tokens heads value_dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to the trunks, and the log of its normaliser."""
        ...


@runtime_checkable
class Memory(Protocol):
    """What caches are made in: no more of it than the device has free."""

    def num_fitting(self, stem: TrunkStem, num_tokens: int) -> int:
        """How many more rows of so many tokens there is room for."""
        ...

    def new_cache(self, stem: TrunkStem, num_rows: int, num_tokens: int) -> Any:
        """A cache for rows that will probably have so many tokens."""
        ...

    def trunks(self, stems: np.ndarray, prefix: Int[np.ndarray, " tokens"]) -> Trunks:
        """What tokens see of their trunks; `prefix` says how far."""
        ...

    def clear(self) -> None:
        """Leave what is not in use to the system."""
        ...


def bytes_per_token(stem: TrunkStem) -> int:
    """Of one row's keys and values in all layers."""
    per_layer = sum(like.shape[1] * like.shape[3] * like.itemsize for like in (stem.keys[0], stem.values[0]))
    return len(stem.keys) * per_layer
