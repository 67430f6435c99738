"""Problems held out of a set: the same ones whatever else is in it."""

import hashlib
from collections.abc import Sequence

from cruxtune.errors import ProblemError
from cruxtune.records import Problem


def hold_out(
    problems: Sequence[Problem], num_held_out: int, seed: int
) -> tuple[list[Problem], list[Problem]]:
    """The problems that are left and those held out, each in their order; equal questions stay together.

    A question is held out for its hash, so that another order of the problems holds out the same ones.
    """
    questions = sorted({problem.question for problem in problems}, key=lambda q: _order(seed, q))
    if num_held_out >= len(questions):
        raise ProblemError(
            f"validation.num_problems = {num_held_out} leaves nothing of {len(questions)} different problems "
            "to train on: lower it"
        )
    chosen = set(questions[:num_held_out])
    left = [problem for problem in problems if problem.question not in chosen]
    held_out = {problem.question: problem for problem in problems if problem.question in chosen}
    return left, list(held_out.values())


def _order(seed: int, question: str) -> bytes:
    return hashlib.sha256(f"validation {seed} {question}".encode()).digest()
