"""The texts that the tiny model is pre-trained on: questions with solutions, right and wrong."""

import random
from collections.abc import Iterator

from . import generate_story
from .solutions import Habits, write_solution

HABITS = Habits()


def write_document(index: int, seed: int = 0, habits: Habits = HABITS) -> tuple[str, str]:
    """A prompt and its completion, as the `cot` template joins them. The same arguments, the same text."""
    story, question = generate_story("corpus", index, seed)
    rng = random.Random(f"cruxtune synthetic solution/{seed}/{index}")
    return f"Question: {question.text}\nAnswer:", f" {write_solution(story, question, rng, habits)}"


def write_corpus(num_documents: int, seed: int = 0, habits: Habits = HABITS) -> Iterator[tuple[str, str]]:
    """The first documents of the endless corpus."""
    return (write_document(index, seed, habits) for index in range(num_documents))
