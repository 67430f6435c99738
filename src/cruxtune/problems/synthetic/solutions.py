"""Solutions as people write them: careful or hasty, in many wordings, with slips and second thoughts.

A *slip* is a wrong result that the rest of the solution builds on. A *false start* is put right at once.
"""

import random
from dataclasses import dataclass

from . import solution_wordings as wordings
from .mistakes import break_off, confuse, guess_wrong, misread
from .noise import add_noise
from .phrases import capitalized, expand
from .story import Calculation, Event, Step, Story
from .wordings import Cast, Question

OPERATOR = {Event.GAIN: "+", Event.LOSE: "-", Event.PACKS: "+", Event.TIMES: "*", Event.SHARE: "/"}


@dataclass(frozen=True, slots=True)
class Habits:
    """How a writer works. Each number is a chance."""

    slip: float = 0.04
    """Of a wrong result that the rest builds on, for each calculation."""
    false_start: float = 0.12
    """Of something wrong that is put right at once, for each calculation and final answer."""
    misprint: float = 0.05
    """Of a wrong number that is put right at once, for each number that is only mentioned."""
    noise: float = 0.025
    """Of an odd, missing or broken word, for each word."""
    restatement: float = 0.4
    """Of saying the total again, for each step and at the end."""
    talk: float = 0.2
    """Of a remark that says nothing, for each step."""
    lead: float = 0.75
    """Of saying what a calculation is for, for each calculation."""
    lucky_guess: float = 0.15
    """Of a right answer in haste."""
    haste: float = 1.0
    """What the question's own chance of a hasty answer is multiplied by."""


CLEAN = Habits(slip=0.0, false_start=0.0, misprint=0.0, noise=0.0, lucky_guess=1.0)
"""Of somebody who makes no mistake."""


def write_solution(story: Story, question: Question, rng: random.Random, habits: Habits) -> str:
    """A solution in the style that the question invites: worked out, or (by chance of its haste) guessed."""
    if rng.random() < question.haste * habits.haste:
        return write_hasty_solution(story, rng, habits)
    return write_careful_solution(story, question.cast, rng, habits)


def write_hasty_solution(story: Story, rng: random.Random, habits: Habits) -> str:
    """An answer without a calculation: right only by luck."""
    guess = story.answer if rng.random() < habits.lucky_guess else guess_wrong(story, rng)
    opening = expand(rng.choice(wordings.HASTY_OPENINGS), rng, c=guess)
    return f"{opening} {expand(rng.choice(wordings.FINALS), rng, c=guess)}"


def write_careful_solution(story: Story, cast: Cast, rng: random.Random, habits: Habits) -> str:
    """Step by step. A slip, where there is one, runs through to the answer."""
    writer = Writer(cast, rng, habits)
    total = story.start
    sentences = [writer.say(wordings.OPENINGS, n=writer.mention(total))]
    for step in story.steps:
        total, worked_out = writer.work_out(step, total)
        sentences += [*worked_out, *writer.remarks(total)]
    return " ".join([*sentences, *writer.finish(total)])


@dataclass(frozen=True, slots=True)
class Writer:
    """Somebody with habits who writes about a cast."""

    cast: Cast
    rng: random.Random
    habits: Habits

    def say(self, templates: tuple[str, ...], **slots: object) -> str:
        """A sentence with the writer's share of noise."""
        cast = {"name": self.cast.name, "they": self.cast.they, "things": self.cast.things}
        sentence = capitalized(expand(self.rng.choice(templates), self.rng, **cast, **slots))
        return " ".join(add_noise(sentence.split(), self.rng, self.habits.noise))

    def mention(self, number: int) -> str:
        """A number, sometimes only after a wrong one."""
        if not self._happens(self.habits.misprint):
            return str(number)
        return f"{misread(number, self.rng)}{self._second_thought()} {number}"

    def work_out(self, step: Step, total: int) -> tuple[int, list[str]]:
        """The total after the step as the writer finds it, and the sentences that say so."""
        if step.event is Event.PACKS:
            added, product = self._calculate(Calculation(step.groups, "*", step.amount))
            first = self._lead(wordings.PACK_LEADS, product, n=step.amount, g=step.groups)
            total, others = self.work_out(Step(Event.GAIN, added), total)
            return total, [first, *others]
        total, equation = self._calculate(Calculation(total, OPERATOR[step.event], step.amount))
        return total, [self._lead(wordings.LEADS[step.event], equation, n=step.amount)]

    def remarks(self, total: int) -> list[str]:
        """Perhaps the total again, perhaps some talk."""
        says_total, talks = self._happens(self.habits.restatement), self._happens(self.habits.talk)
        remarks = [self.say(wordings.RESTATEMENTS, c=self.mention(total))] if says_total else []
        return [*remarks, self.say(wordings.TALK)] if talks else remarks

    def finish(self, total: int) -> list[str]:
        """The last sentences: the answer, perhaps after a conclusion or a false start."""
        concludes, hesitates = self._happens(self.habits.restatement), self._happens(self.habits.false_start)
        sentences = [self.say(wordings.CONCLUSIONS, c=self.mention(total))] if concludes else []
        if hesitates:
            wrong = self._final(misread(total, self.rng))
            sentences.append(wrong if self._happens(0.6) else break_off(wrong, self.rng))
            sentences.append(self.rng.choice(wordings.LATE_THOUGHTS))
        sentences.append(self._final(total))
        return [*sentences, self.rng.choice(wordings.FAREWELLS)] if self._happens(0.15) else sentences

    def _calculate(self, calculation: Calculation) -> tuple[int, str]:
        """The result, right or slipped, and the equation, perhaps after a false start."""
        slips = self._happens(self.habits.slip)
        result = misread(calculation.result, self.rng) if slips else calculation.result
        equation = self._equation(calculation, result)
        if not self._happens(self.habits.false_start):
            return result, equation
        wrong = self._equation(*confuse(calculation, self.rng))
        return result, f"{break_off(wrong, self.rng)}{self._second_thought()} {equation}"

    def _equation(self, calculation: Calculation, result: int) -> str:
        template = self.rng.choice(wordings.EQUATIONS[calculation.operator])
        return expand(template, self.rng, a=calculation.left, b=calculation.right, c=result)

    def _lead(self, leads: tuple[str, ...], equation: str, **numbers: int) -> str:
        """An equation, mostly with what leads to it."""
        if not self._happens(self.habits.lead):
            return self.say(wordings.BARE_STEPS, equation=equation)
        lead = self.say(leads, **{slot: self.mention(number) for slot, number in numbers.items()})
        return self.say(wordings.JOINTS, lead=lead, equation=equation)

    def _final(self, total: int) -> str:
        return expand(self.rng.choice(wordings.FINALS), self.rng, c=total)

    def _second_thought(self) -> str:
        return self.rng.choice(wordings.SECOND_THOUGHTS)

    def _happens(self, chance: float) -> bool:
        return self.rng.random() < chance
