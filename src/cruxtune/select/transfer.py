"""Weights carried from the tokens of one tokenizer to those of another, character by character (CFT, 5.2)."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float

from cruxtune.errors import SelectionError
from cruxtune.select.pieces import Pieces, character_spans, text_of

CharacterWeights = Float[np.ndarray, " characters"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of the selected characters, counted."""

    num_selected: int = 0
    """Characters of the tokens that were selected in the source."""
    num_covered: int = 0
    """Those of them that are in selected tokens."""
    num_extra: int = 0
    """Other characters in selected tokens."""

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def transfer(source: Pieces, weights: Sequence[float], target: Pieces) -> tuple[list[float], Coverage]:
    """The weight of each target token: the largest among the source tokens that share a character with it.

    Both must write the same text; spaces at its beginning are free. The special token at the end, which
    writes nothing, weighs what that of the source does.

    >>> transfer([b"1", b"2", b" is"], [0.0, 1.0, 0.0], [b"12", b" is"])[0]
    [1.0, 0.0]
    """
    texts = [text_of(pieces) for pieces in (source, target)]
    if texts[0].lstrip(" ") != texts[1].lstrip(" "):
        raise SelectionError(f"the texts differ: {texts[0][:40]!r} and {texts[1][:40]!r}")
    wanted = _moved(_by_character(source, weights, len(texts[0])), len(texts[1]))
    found = [float(wanted[start:end].max(initial=0.0)) for start, end in character_spans(target)]
    if source[-1:] == target[-1:] == [b""]:
        found[-1] = weights[-1]
    return found, _coverage(wanted > 0, _by_character(target, found, len(texts[1])) > 0)


def _by_character(pieces: Pieces, weights: Sequence[float], length: int) -> CharacterWeights:
    """The largest weight among the tokens that have a share in each character."""
    characters = np.zeros(length)
    for (start, end), weight in zip(character_spans(pieces), weights, strict=True):
        characters[start:end] = characters[start:end].clip(min=weight)
    return characters


def _moved(characters: CharacterWeights, length: int) -> Float[np.ndarray, " moved"]:
    """The same characters in a text with more or fewer spaces at its beginning."""
    kept = characters[max(len(characters) - length, 0) :]
    return np.concatenate([np.zeros(length - len(kept)), kept])


def _coverage(wanted: Bool[np.ndarray, " characters"], selected: Bool[np.ndarray, " characters"]) -> Coverage:
    return Coverage(int(wanted.sum()), int((wanted & selected).sum()), int((selected & ~wanted).sum()))
