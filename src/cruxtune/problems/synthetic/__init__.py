"""Grade-school word problems of our own: stories, wordings, solutions and the corpus of the tiny model.

Problem i of a split depends only on the split, the seed and i, so a longer list starts with the shorter one.
Splits never share a calculation: a hash of each story's numbers says which split it belongs to.
"""

import random
from typing import Literal, get_args

from cruxtune.records import Problem

from .story import EASY, HARD, Story, draw_story
from .wordings import Question, write_question

Split = Literal["train", "validation", "test", "hard"]

NUM_BUCKETS = 10
BUCKETS: dict[str, tuple[int, ...]] = {
    "corpus": (0, 1, 2, 3, 4),
    "train": (5, 6),
    "validation": (7,),
    "test": (8,),
    "hard": (9,),
}


def generate_problems(split: Split, num_problems: int, seed: int = 0) -> list[Problem]:
    """The first problems of a split: 2-4 calculations each, or 5-6 with larger numbers in `hard`.

    >>> generate_problems("test", 1)[0].id
    'synthetic/test/0'
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(get_args(Split))}")
    return [_generate_problem(split, index, seed) for index in range(num_problems)]


def generate_story(split: str, index: int, seed: int = 0) -> tuple[Story, Question]:
    """The numbers and the wording behind one problem (`corpus` gives stories for pre-training)."""
    rng = random.Random(f"cruxtune synthetic/{split}/{seed}/{index}")
    is_hard = split == "hard" or (split == "corpus" and rng.random() < 0.12)
    while True:
        story = draw_story(rng, HARD if is_hard else EASY)
        if story.bucket(NUM_BUCKETS) in BUCKETS[split]:
            return story, write_question(story, rng)


def _generate_problem(split: Split, index: int, seed: int) -> Problem:
    story, question = generate_story(split, index, seed)
    name = split if seed == 0 else f"{split}@{seed}"
    return Problem(f"synthetic/{name}/{index}", question.text, str(story.answer), source="synthetic")
