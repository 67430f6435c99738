"""What goes wrong in solutions: numbers misread, calculations confused, texts broken off, guesses."""

import random
from dataclasses import replace

from .story import Calculation, Story

OPERATORS = "+-*/"


def misread(number: int, rng: random.Random) -> int:
    """Another number that looks alike: a digit changed, added or lost; or the next number."""
    digits = str(number)
    place = rng.randrange(len(digits))
    changed = digits[:place] + str(rng.randint(0, 9)) + digits[place + 1 :]
    longer, shorter = digits + str(rng.randint(0, 9)), digits[:-1] or "1"
    other = int(rng.choice((changed, changed, longer, shorter, str(number + 1))))
    return other if other not in (number, 0) else number + rng.choice((1, 2, 10))


def confuse(calculation: Calculation, rng: random.Random) -> tuple[Calculation, int]:
    """The calculation with one part wrong (a number, the sign or the result), and the result then."""
    match rng.choice(("left", "right", "operator", "result", "result")):
        case "left":
            wrong = replace(calculation, left=misread(calculation.left, rng))
        case "right":
            wrong = replace(calculation, right=misread(calculation.right, rng))
        case "operator":
            wrong = replace(calculation, operator=rng.choice(OPERATORS.replace(calculation.operator, "")))
        case _:
            return calculation, misread(calculation.result, rng)
    return wrong, wrong.result


def break_off(text: str, rng: random.Random) -> str:
    """The first words of a text."""
    words = text.split()
    return " ".join(words[: rng.randint(1, len(words))])


def guess_wrong(story: Story, rng: random.Random) -> int:
    """A wrong answer that comes to mind: a total on the way, or a number near the right one."""
    near = max(story.answer + rng.randint(-9, 9), 1)
    guess = rng.choice([*story.totals[:-1], near])
    return guess if guess != story.answer else story.answer + 1
