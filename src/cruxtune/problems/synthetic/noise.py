"""Harmless noise: odd words after which a text goes on as if nothing had happened.

A model that has read such texts carries on after any unusual token. Numbers and signs are left alone.
"""

import random
from collections.abc import Callable

FILLERS = ("well", "um", "okay", "yes", "so", "now", "right", "then", "just", "here", "hmm", "also")
ODD_WORDS = (
    *("apples", "books", "coins", "box", "day", "park", "trees", "friend", "bus", "school", "times", "equal"),
    *("the", "a", "is", "has", "of", "to", "and", "more", "number", "answer", "total", "makes", "with", "it"),
    *(
        "Then",
        "So",
        "Now",
        "Next",
        "She",
        "He",
        "The",
        "There",
        "We",
        "That",
        "gets",
        "gives",
        "plus",
        "minus",
    ),
)


def add_noise(words: list[str], rng: random.Random, rate: float) -> list[str]:
    """The words, each disturbed at the given rate; words without letters stay as they are."""
    noisy: list[str] = []
    for word in words:
        disturbs = word.isalpha() and rng.random() < rate
        noisy += rng.choice(DISTURBANCES)(word, rng) if disturbs else [word]
    return noisy


def _insert(word: str, rng: random.Random) -> list[str]:
    return [rng.choice(FILLERS + ODD_WORDS), word]


def _insert_fragment(word: str, rng: random.Random) -> list[str]:
    """A word that breaks off and is started again."""
    odd = rng.choice((word, *ODD_WORDS))
    return [odd[: rng.randint(1, len(odd))], word]


def _replace(word: str, rng: random.Random) -> list[str]:
    return [rng.choice(ODD_WORDS)]


def _repeat(word: str, rng: random.Random) -> list[str]:
    return [word, word]


def _drop(word: str, rng: random.Random) -> list[str]:
    return []


def _glue(word: str, rng: random.Random) -> list[str]:
    """A word with the end of another one."""
    odd = rng.choice(ODD_WORDS)
    return [word[: rng.randint(1, len(word))] + odd[rng.randint(0, len(odd) - 1) :]]


def _punctuate(word: str, rng: random.Random) -> list[str]:
    return [word + rng.choice((",", ".", ":", " -", "..."))]


DISTURBANCES: tuple[Callable[[str, random.Random], list[str]], ...] = (
    *(_insert, _insert_fragment, _replace, _repeat, _drop, _glue, _punctuate),
)
