"""Classes of tokens (CFT paper, appendix C.2).

A token is told by the characters that it has a share in, spaces aside: `12`, ` 12` and a piece of `½` are
numbers.
"""

import unicodedata
from collections.abc import Sequence
from enum import StrEnum

from cruxtune.select.pieces import shared_characters


class TokenClass(StrEnum):
    """From the most to the least telling: a token of several kinds belongs to the first that it has."""

    WORD = "word"
    NUMBER = "number"
    OPERATOR = "operator"
    SPECIAL = "special"
    PUNCTUATION = "punctuation"
    OTHER = "other"


_OPERATORS = "-*/^·"
"""Besides Unicode's mathematical symbols: + = < > × ÷ ± ≤ ≈ √ …"""
_SPECIAL = "$#@%&_~|\\`"
"""Besides Unicode's symbols that are not mathematical: € ° © …"""
_BY_CATEGORY = {
    "L": TokenClass.WORD,
    "M": TokenClass.WORD,
    "N": TokenClass.NUMBER,
    "P": TokenClass.PUNCTUATION,
    "S": TokenClass.SPECIAL,
}


def token_classes(pieces: Sequence[bytes]) -> list[TokenClass]:
    """The class of each token of a completion; a special token, such as the stop token, is OTHER."""
    return [classify(characters) for characters in shared_characters(pieces)]


def classify(characters: str) -> TokenClass:
    """The class of a token that has a share in these characters.

    >>> [str(classify(text)) for text in (" 12", "=$", "2nd", ").", "\\n")]
    ['number', 'operator', 'word', 'punctuation', 'other']
    """
    kinds = {_kind(character) for character in characters if not character.isspace()}
    return next((kind for kind in TokenClass if kind in kinds), TokenClass.OTHER)


def _kind(character: str) -> TokenClass:
    category = unicodedata.category(character)
    if character in _SPECIAL:
        return TokenClass.SPECIAL
    if character in _OPERATORS or category == "Sm":
        return TokenClass.OPERATOR
    return _BY_CATEGORY.get(category[0], TokenClass.OTHER)
