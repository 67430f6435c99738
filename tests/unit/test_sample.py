"""Sampling until right: which try counts, and how the rounds are filled."""

import pytest

from cruxtune.engines import Decoding
from cruxtune.recipe.sections import SampleSection
from cruxtune.records import Completion, FinishReason, Grade, Origin, Problem, Sample, Solution, Verdict
from cruxtune.stages.sample import Sampler, sample_counts, seed_of
from cruxtune.store import Manifest, ModelIdentity, StageWriter


class Chancy:
    """Writes `right` where a seed is that of a lucky try of the problem that the prompt numbers."""

    def __init__(self, lucky: dict[str, int]) -> None:
        self.lucky = {seed_of(0, id, number) for id, number in lucky.items()}
        self.rounds: list[int] = []

    def generate(self, prompts, decoding, seeds):
        assert decoding.temperature == 1.0 and len(set(seeds)) == len(seeds)
        self.rounds.append(len(prompts))
        return [
            Completion([1], "right" if seed in self.lucky else "wrong", FinishReason.STOP) for seed in seeds
        ]


class Judge:
    def verify_many(self, texts):
        verdicts = {"right": Verdict.CORRECT, "wrong": Verdict.INCORRECT}
        return [Grade(verdicts[text], text) for _, text, _ in texts]


class Encoder:
    def encode(self, problem):
        return [len(problem.id)]


PROBLEMS = [Problem(id, "?", "1") for id in ("a", "b", "c", "d")]


def sampled(lucky: dict[str, int], num_tries: int, part_size: int) -> tuple[list[Sample], list[int]]:
    engine, settings = Chancy(lucky), SampleSection(num_tries=num_tries, part_size=part_size)
    sampler = Sampler(engine, Judge(), Encoder(), Decoding(9, temperature=1.0), settings)
    return sampler.sample(PROBLEMS), engine.rounds


def test_the_first_right_try_counts_and_the_last_one_where_none_is_right():
    found, _ = sampled({"a": 1, "b": 3, "d": 5}, num_tries=5, part_size=1)
    assert [(s.solution.problem_id, s.num_tries, s.solution.completion.text) for s in found] == [
        ("a", 1, "right"),
        ("b", 3, "right"),
        ("c", 5, "wrong"),
        ("d", 5, "right"),
    ]
    assert {s.solution.origin for s in found} == {Origin.SAMPLED}
    assert [s.solution.id for s in found] == ["a#sampled", "b#sampled", "c#sampled", "d#sampled"]


def test_a_round_is_full_however_few_problems_are_left():
    found, rounds = sampled({"a": 1, "b": 1, "c": 4}, num_tries=9, part_size=4)
    # 4 problems once; 2 left: twice (tries 2-3, 4-5); 1 left: 4 times (6-9)
    assert rounds == [4, 4, 4, 4]
    assert [s.num_tries for s in found] == [1, 1, 4, 9]


@pytest.mark.parametrize("part_size", [1, 2, 3, 7, 64])
def test_what_is_found_does_not_depend_on_the_rounds(part_size):
    lucky = {"a": 2, "b": 6, "d": 7}
    assert sampled(lucky, 7, part_size)[0] == sampled(lucky, 7, 4)[0]


def test_no_try_is_made_beyond_the_limit():
    _, rounds = sampled({}, num_tries=3, part_size=8)
    assert rounds == [8, 4]


def test_seeds_are_those_of_problem_and_try_alone():
    seeds = {seed_of(s, id, number) for s in (0, 1) for id in ("a", "b") for number in (1, 2)}
    assert len(seeds) == 8 and all(0 <= seed < 2**62 for seed in seeds)


def test_the_counts_say_within_how_many_tries_problems_are_solved(tmp_path):
    def sample(number: int, verdict: Verdict) -> Sample:
        completion = Completion([1], "x", FinishReason.STOP)
        return Sample(Solution("i", "p", [1], completion, Grade(verdict, None), Origin.SAMPLED), number)

    right, wrong = Verdict.CORRECT, Verdict.INCORRECT
    samples = [sample(1, right), sample(2, right), sample(7, right), sample(30, right), sample(30, wrong)]
    identity = ModelIdentity(name="m", revision=None, weights_sha256="a", tokenizer_sha256="b")
    manifest = Manifest(stage="sample", settings={}, model=identity, inputs={}, versions={})
    with StageWriter(tmp_path / "sample", manifest) as writer:
        writer.write_part(0, Sample, samples[:3])
        writer.write_part(1, Sample, samples[3:])
    assert sample_counts(tmp_path / "sample", [0, 1], 30) == {
        "num_problems": 5,
        "num_correct": 4,
        "num_tries": 70,
        "solved_within_1": 1,
        "solved_within_2": 2,
        "solved_within_5": 2,
        "solved_within_10": 3,
        "solved_within_20": 3,
        "solved_within_30": 4,
    }
