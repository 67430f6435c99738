"""What happens in a word problem: a start, then steps that change the total. Numbers only, no wording."""

import hashlib
import random
from dataclasses import dataclass
from enum import StrEnum


class Event(StrEnum):
    """How a step changes the total."""

    GAIN = "gain"
    """`amount` more."""
    LOSE = "lose"
    """`amount` fewer."""
    PACKS = "packs"
    """`groups` packs of `amount` each are added: two calculations."""
    TIMES = "times"
    """`amount` times as many."""
    SHARE = "share"
    """One of `amount` equal parts is kept."""


@dataclass(frozen=True, slots=True)
class Calculation:
    """One operation on two whole numbers."""

    left: int
    operator: str
    right: int

    @property
    def result(self) -> int:
        """The number it gives; a division that a slip made uneven is rounded down."""
        match self.operator:
            case "+":
                return self.left + self.right
            case "-":
                return max(self.left - self.right, 0)
            case "*":
                return self.left * self.right
        return self.left // self.right


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a story."""

    event: Event
    amount: int
    groups: int = 1

    @property
    def num_calculations(self) -> int:
        """How many operations the step takes."""
        return 2 if self.event is Event.PACKS else 1

    def apply(self, total: int) -> int:
        """The total after the step."""
        match self.event:
            case Event.GAIN:
                return total + self.amount
            case Event.LOSE:
                return total - self.amount
            case Event.PACKS:
                return total + self.groups * self.amount
            case Event.TIMES:
                return total * self.amount
            case Event.SHARE:
                return total // self.amount


@dataclass(frozen=True, slots=True)
class Level:
    """How long a story is and how large its numbers are."""

    num_calculations: tuple[int, int]
    max_start: int
    max_amount: int
    max_total: int


EASY = Level(num_calculations=(2, 4), max_start=50, max_amount=30, max_total=99)
HARD = Level(num_calculations=(5, 6), max_start=99, max_amount=60, max_total=300)
DRILL = Level(num_calculations=(4, 8), max_start=50, max_amount=40, max_total=120)


@dataclass(frozen=True, slots=True)
class Story:
    """A start and the steps after it; two stories with the same key ask for the same calculation."""

    start: int
    steps: tuple[Step, ...]

    @property
    def totals(self) -> list[int]:
        """The total at the start and after each step."""
        totals = [self.start]
        for step in self.steps:
            totals.append(step.apply(totals[-1]))
        return totals

    @property
    def answer(self) -> int:
        """The total after the last step."""
        return self.totals[-1]

    @property
    def num_calculations(self) -> int:
        """How many operations lead to the answer."""
        return sum(step.num_calculations for step in self.steps)

    @property
    def key(self) -> str:
        """The numbers and events, without any wording."""
        return f"{self.start} " + " ".join(f"{s.event} {s.groups} {s.amount}" for s in self.steps)

    def bucket(self, num_buckets: int) -> int:
        """Which of the buckets the story falls into: a hash of its key, the same on every machine."""
        digest = hashlib.sha256(self.key.encode()).digest()
        return int.from_bytes(digest[:8], "big") % num_buckets


def draw_story(rng: random.Random, level: Level) -> Story:
    """A random story of the level; every total on the way is a whole number from 2 to the level's cap."""
    num_calculations = rng.randint(*level.num_calculations)
    story = Story(rng.randint(5, level.max_start), ())
    while story.num_calculations < num_calculations:
        step = _draw_step(rng, level, story.answer)
        longer = Story(story.start, (*story.steps, step))
        if _is_sensible(longer, level) and longer.num_calculations <= num_calculations:
            story = longer
    return story


def _draw_step(rng: random.Random, level: Level, total: int) -> Step:
    event = rng.choices(list(Event), weights=(5, 5, 4, 2, 2))[0]
    if event is Event.PACKS:
        return Step(event, rng.randint(2, 9), groups=rng.randint(2, 6))
    if event in (Event.TIMES, Event.SHARE):
        return Step(event, rng.randint(2, 4))
    return Step(event, rng.randint(3, min(level.max_amount, max(3, total))))


def _is_sensible(story: Story, level: Level) -> bool:
    total, step = story.totals[-2], story.steps[-1]
    is_even = step.event is not Event.SHARE or total % step.amount == 0
    return is_even and 2 <= story.answer <= level.max_total
