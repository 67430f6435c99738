"""The texts that the tiny model is pre-trained on: word problems and bare drills, solved right and wrong."""

import random
from collections.abc import Iterator

from . import BUCKETS, NUM_BUCKETS, generate_story
from .solutions import Habits, write_solution
from .story import DRILL, Story, draw_story
from .wordings import Question, write_drill

DRILL_SHARE = 0.35
"""Of documents with bare numbers and little talk: most of the arithmetic is learned there."""
DRILL_HABITS = Habits(noise=0.0, false_start=0.06, restatement=0.1, talk=0.0, lead=0.0)


def write_document(index: int, seed: int = 0, haste: float = 1.0) -> tuple[str, str]:
    """A prompt and its completion, as the `cot` template joins them. The same arguments, the same text.

    `haste` multiplies the chance that a question is answered by a guess.
    """
    rng = random.Random(f"cruxtune synthetic corpus/{seed}/{index}")
    if rng.random() < DRILL_SHARE:
        (story, question), habits = _draw_drill(rng), DRILL_HABITS
    else:
        (story, question), habits = generate_story("corpus", index, seed), Habits(haste=haste)
    return f"Question: {question.text}\nAnswer:", f" {write_solution(story, question, rng, habits)}"


def write_corpus(
    num_documents: int, seed: int = 0, start: int = 0, haste: float = 1.0
) -> Iterator[tuple[str, str]]:
    """A run of documents of the endless corpus, from number `start` on."""
    return (write_document(index, seed, haste) for index in range(start, start + num_documents))


def _draw_drill(rng: random.Random) -> tuple[Story, Question]:
    while True:
        story = draw_story(rng, DRILL)
        if story.bucket(NUM_BUCKETS) in BUCKETS["corpus"]:
            return story, write_drill(story, rng)
