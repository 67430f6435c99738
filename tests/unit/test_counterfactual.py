"""The counterfactual test of one solution, with an engine that recites."""

from dataclasses import replace

import numpy as np
import pytest

from cruxtune.counterfactual import Annotator, Evidence, Task, alternatives
from cruxtune.engines import Decoding, Inspection, ScriptedEngine
from cruxtune.records import (
    Branch,
    Completion,
    FinishReason,
    Grade,
    Origin,
    Problem,
    Solution,
    Verdict,
)
from cruxtune.select import gather_evidence, strict
from cruxtune.verify import Verifier

PROBLEM = Problem("p", "1 + 2?", "3")


@pytest.fixture
def world(tokenizer):
    """A solution " #### 3<end>" of four tokens or so, and what follows each way out of it."""
    return World(tokenizer)


class World:
    """A prompt, its solution and the alternatives, all in ids."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer
        self.end = tokenizer.eos_token_id
        self.prompt = tokenizer("Q:").input_ids
        (self.hash,) = tokenizer("#").input_ids
        self.digits = [tokenizer(str(digit)).input_ids[0] for digit in range(10)]
        (self.space,) = tokenizer(" ").input_ids if len(tokenizer(" ").input_ids) == 1 else (None,)
        self.ids = [*[self.hash] * 4, self.space, self.digits[3], self.end]
        self.solution = Solution(
            "s",
            "p",
            self.prompt,
            Completion(self.ids, "#### 3", FinishReason.STOP),
            Grade(Verdict.CORRECT, "3"),
            Origin.GREEDY,
        )
        self.script: dict[tuple[int, ...], list[int]] = {}
        self.others: dict[tuple[int, ...], list[int]] = {}
        for position in range(len(self.ids)):
            self.offer(position, (8, [self.end]), (9, [self.end]))
        # " ####" then 8 or 9 is wrong; at position 1 the third choice and at 2 the second still say 3
        self.offer(1, (8, [self.end]), (9, [*self.ids, self.end]))
        self.offer(2, (8, self.ids), (9, [self.end]))

    def at(self, position: int) -> tuple[int, ...]:
        return (*self.prompt, *self.ids[:position])

    def offer(self, position: int, *choices: tuple[int, list[int]]) -> None:
        """Digits as alternatives at a position, most probable first, and what the model writes after each."""
        self.others[self.at(position)] = [self.digits[digit] for digit, _ in choices]
        for digit, rest in choices:
            self.script[(*self.at(position), self.digits[digit])] = rest

    def engine(self) -> ScriptedEngine:
        return ScriptedEngine(self.tokenizer, self.script, self.others, frozenset({self.end}))

    def annotate(self, engine: ScriptedEngine, max_new_tokens: int = 40, **options):
        with Verifier() as verifier:
            annotator = Annotator(engine, verifier, Decoding(max_new_tokens), **options)
            return gather(annotator.annotate([Task(PROBLEM, self.solution)]))


def gather(news) -> Evidence:
    """All that was told, the rollouts in order."""
    told = list(news)
    return Evidence(
        [position for evidence in told for position in evidence.positions],
        sorted(
            (rollout for evidence in told for rollout in evidence.rollouts),
            key=lambda r: (r.solution_id, r.branch.position, r.branch.rank),
        ),
        [solution_id for evidence in told for solution_id in evidence.finished],
        [solution_id for evidence in told for solution_id in evidence.too_long],
    )


def labels(world: World, rollouts, k: int):
    (evidence,) = gather_evidence([world.solution], rollouts)
    return strict(evidence, k)


def test_eager_annotation_tries_every_rank_at_every_position_in_order(world):
    annotation = world.annotate(world.engine(), is_lazy=False)
    places = [(r.branch.position, r.branch.rank) for r in annotation.rollouts]
    assert places == [(position, rank) for position in range(7) for rank in (2, 3)]
    assert [r.branch.probability for r in annotation.rollouts[:2]] == [0.25, 0.125]
    verdicts = {place: r.grade.verdict for place, r in zip(places, annotation.rollouts, strict=True)}
    assert {place for place, verdict in verdicts.items() if verdict is Verdict.CORRECT} == {(1, 3), (2, 2)}


def test_lazy_annotation_gives_the_same_strict_labels_from_fewer_rollouts(world):
    eager_engine, lazy_engine = world.engine(), world.engine()
    eager = world.annotate(eager_engine, is_lazy=False)
    lazy = world.annotate(lazy_engine, is_lazy=True)
    assert (eager_engine.num_rollouts, lazy_engine.num_rollouts) == (14, 13)
    assert lazy.positions == eager.positions
    assert lazy.rollouts == [r for r in eager.rollouts if (r.branch.position, r.branch.rank) != (2, 3)]
    for k in (2, 3):
        assert labels(world, lazy.rollouts, k) == labels(world, eager.rollouts, k)
    critical = [label == "critical" for label in labels(world, lazy.rollouts, 3)]
    assert critical == [True, False, False, True, True, True, True]


def test_positions_tell_what_the_model_saw(world):
    positions = world.annotate(world.engine()).positions
    assert [p.token_id for p in positions] == world.ids
    assert [p.position for p in positions] == list(range(7))
    assert "".join(p.text for p in positions) == "#### 3<|endoftext|>"
    assert {p.probability for p in positions} == {0.5}


def test_a_stop_token_as_an_alternative_ends_the_text(world):
    world.others[world.at(5)] = [world.end, world.digits[9]]
    rollout = world.annotate(world.engine(), is_lazy=False).rollouts[10]
    assert (rollout.branch.position, rollout.branch.token_id) == (5, world.end)
    assert rollout.continuation == Completion([world.end], "", FinishReason.STOP)
    assert rollout.token_text == "<|endoftext|>"
    assert rollout.grade.verdict is not Verdict.CORRECT


def test_special_tokens_can_be_left_out_as_alternatives(world):
    world.others[world.at(5)] = [world.end, world.digits[9], world.digits[8]]
    kept = world.annotate(world.engine(), is_lazy=False).rollouts
    left_out = world.annotate(world.engine(), is_lazy=False, skip_special=True).rollouts
    assert [r.branch.token_id for r in kept if r.branch.position == 5] == [world.end, world.digits[9]]
    at_5 = [r.branch for r in left_out if r.branch.position == 5]
    assert at_5 == [Branch(5, 2, world.digits[9], 0.125), Branch(5, 3, world.digits[8], 0.0625)]


def test_a_text_that_reaches_the_limit_is_a_failure(world):
    world.offer(1, (8, [world.hash] * 99), (9, [world.hash] * 99))
    annotation = world.annotate(world.engine(), max_new_tokens=10, is_lazy=False)
    cut = [r for r in annotation.rollouts if r.branch.position == 1]
    assert [r.grade.verdict for r in cut] == [Verdict.TRUNCATED] * 2
    assert {len(r.continuation.token_ids) for r in cut} == {9}, "the limit is that of the whole text"
    assert labels(world, annotation.rollouts, 3)[1] == "critical"


def test_the_answer_is_read_from_prefix_and_continuation_together(world):
    world.offer(6, (0, [world.end]), (1, [world.end]))
    rollouts = world.annotate(world.engine(), is_lazy=False).rollouts
    assert [r.grade.answer for r in rollouts if r.branch.position == 6] == ["30", "31"]
    assert [r.continuation.text for r in rollouts if r.branch.position == 6] == ["0", "1"]


def test_a_solution_that_the_context_cannot_hold_is_told_apart_and_stops_no_other(world):
    engine = world.engine()
    engine.context_length = len(world.prompt) + len(world.ids)
    longer = replace(
        world.solution, id="longer", completion=Completion([world.hash, *world.ids], "", FinishReason.STOP)
    )
    with Verifier() as verifier:
        annotator = Annotator(engine, verifier, Decoding(40))
        found = gather(annotator.annotate([Task(PROBLEM, longer), Task(PROBLEM, world.solution)]))
    assert found.too_long == ["longer"]
    assert found.finished == ["longer", "s"]
    assert found.positions == world.annotate(world.engine()).positions
    assert {rollout.solution_id for rollout in found.rollouts} == {"s"}


def inspection(top_ids: list[list[int]]) -> Inspection:
    ids = np.array(top_ids)
    probs = np.tile(0.5 ** np.arange(1, ids.shape[1] + 1), (len(ids), 1))
    flat = np.ones(len(ids))
    return Inspection(ids, probs, probs[:, 0], flat, flat)


def test_alternatives_are_the_most_probable_tokens_but_the_own_one():
    seen = inspection([[5, 6, 7], [5, 6, 7], [5, 6, 7]])
    assert alternatives(seen, [5, 6, 9], 3) == [
        Branch(0, 2, 6, 0.25),
        Branch(0, 3, 7, 0.125),
        Branch(1, 2, 5, 0.5),
        Branch(1, 3, 7, 0.125),
        Branch(2, 2, 5, 0.5),
        Branch(2, 3, 6, 0.25),
    ]


def test_alternatives_that_are_left_out_make_room_for_the_next():
    assert alternatives(inspection([[5, 6, 7, 8]]), [5], 3, frozenset({6})) == [
        Branch(0, 2, 7, 0.125),
        Branch(0, 3, 8, 0.0625),
    ]
