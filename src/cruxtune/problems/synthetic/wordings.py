"""Stories told as questions: many wordings, and sentences that have nothing to do with the answer."""

import random
from dataclasses import dataclass

from .phrases import capitalized, expand
from .story import Event, Step, Story

GIRLS = ("Mia", "Ada", "Lena", "Rosa", "Nora", "Ella", "Zoe", "Anna")
BOYS = ("Tom", "Ben", "Omar", "Leo", "Max", "Sam", "Ivan", "Jack")
THINGS = ("apples", "books", "coins", "stones", "shells", "cards", "pens", "cookies", "stamps", "toys")

START = (
    "{name} [has|owns|holds|starts with|begins with] {n} {things}[ in a box| at home|].",
    "[At first|In the morning|On Monday] {name} [has|counts|owns] {n} {things}.",
    "There are {n} {things} [in the box|on the table] of {name}.",
)
EVENTS = {
    Event.GAIN: (
        "[{friend}|A friend] [gives|brings|sends] {name} {n} [more {things}|{things} more|new {things}].",
        "[Then|Later|After that|Next] {they} [gets|finds|buys|wins] {n} [more|more {things}|new {things}].",
        "{name} [finds|buys|gets] {n} [more|other] {things}[ in the park| at school|].",
    ),
    Event.LOSE: (
        "[Then|Later|After that|Next] {they} [gives|sells|sends] {n} [{things}|of them] to {friend}.",
        "{name} [loses|sells|breaks|drops] {n} [{things}|of the {things}][ on the way| at school|].",
        "[{friend}|A friend] takes [away |]{n} of [them|the {things}].",
    ),
    Event.PACKS: (
        "[{name}|{they}] [buys|gets|finds] {g} [bags|boxes|packs] with {n} {things} in each.",
        "[{friend}|A friend] [brings|gives] {g} [bags|boxes|packs] of {n} {things} each to {name}.",
        "[Then|Later|Next] {they} [buys|wins] {g} [bags|boxes|packs], each with {n} {things}.",
    ),
    Event.TIMES: (
        "[Then|Later|Next] {they} trades and has {n} times as many {things}.",
        "By magic the {things} [become|grow to] {n} times as many.",
        "After a good week {name} has {n} times as many {things} as before.",
    ),
    Event.SHARE: (
        "{name} [puts|sorts] the {things} into {n} equal [bags|boxes] and keeps [just|only] one of them.",
        "[Then|Later|Next] {they} shares [them|the {things}] evenly among {n} people and keeps one part.",
    ),
}
DISTRACTORS = (
    "{friend} is {n} years old.",
    "The [bus|train] takes {n} minutes.",
    "[It is|This is] a [warm|cold|long] day.",
    "{friend} [has|owns] {n} [dogs|cats|hats].",
    "{name} [likes|loves] {things} [a lot|very much].",
    "There are {n} trees [in the park|at school].",
    "{friend} [sings|reads|sleeps|is happy].",
)
ORDERS = {
    Event.GAIN: "[add|plus|and] {n}",
    Event.LOSE: "[take away|minus|less] {n}",
    Event.PACKS: "[add|plus|and] {g} times {n}",
    Event.TIMES: "[times {n}|take it {n} times]",
    Event.SHARE: "[share by|over|split in] {n}",
}
QUESTIONS = (
    ("How many {things} does {name} have [now|in the end]?", 0.12),
    ("How many {things} are there [now|in the end]?", 0.10),
    ("What is the number of {things} [now|in the end]?", 0.08),
    ("Find the number of {things} that {name} has [now|in the end].", 0.06),
    ("How many {things} is that?", 0.42),
    ("So how many {things} are left?", 0.46),
    ("Can you tell how many {things} {name} has?", 0.15),
)
"""Ways to ask, each with the chance that the corpus answers it in haste: wording and care go together."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what a story is about."""

    name: str
    they: str
    friend: str
    things: str


@dataclass(frozen=True, slots=True)
class Question:
    """A story in words."""

    text: str
    cast: Cast
    haste: float
    """The chance that the corpus answers it in haste."""


def write_question(story: Story, rng: random.Random) -> Question:
    """The story told in one of many wordings, with one to three sentences that do not matter."""
    cast = draw_cast(rng)
    sentences = [_tell_event(step, cast, rng) for step in story.steps]
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        sentences.insert(rng.randint(0, len(sentences)), _tell(DISTRACTORS, cast, rng, n=rng.randint(2, 60)))
    start = _tell(START, cast, rng, n=story.start)
    template, haste = rng.choice(QUESTIONS)
    ask = expand(template, rng, **_slots(cast))
    return Question(" ".join([start, *sentences, ask]), cast, haste)


def write_drill(story: Story, rng: random.Random) -> Question:
    """The bare numbers, to be worked out one after the other; never in haste."""
    orders = [expand(ORDERS[step.event], rng, n=step.amount, g=step.groups) for step in story.steps]
    return Question(f"Start with {story.start}, {', '.join(orders)}.", draw_cast(rng), haste=0.0)


def draw_cast(rng: random.Random) -> Cast:
    """A person, a friend of another name and the things that they count."""
    names, they = rng.choice(((GIRLS, "she"), (BOYS, "he")))
    name = rng.choice(names)
    friend = rng.choice([other for other in GIRLS + BOYS if other != name])
    return Cast(name, they, friend, rng.choice(THINGS))


def _tell_event(step: Step, cast: Cast, rng: random.Random) -> str:
    return _tell(EVENTS[step.event], cast, rng, n=step.amount, g=step.groups)


def _tell(templates: tuple[str, ...], cast: Cast, rng: random.Random, **numbers: int) -> str:
    return capitalized(expand(rng.choice(templates), rng, **_slots(cast), **numbers))


def _slots(cast: Cast) -> dict[str, str]:
    return {"name": cast.name, "they": cast.they, "friend": cast.friend, "things": cast.things}
