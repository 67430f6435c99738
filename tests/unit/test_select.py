"""The criticality rules on hand examples, and the laws that hold between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.errors import SelectionError
from cruxtune.records import Criticality, Verdict
from cruxtune.select import (
    Evidence,
    Outcome,
    count_of_share,
    first_tokens,
    gather_evidence,
    graded,
    random_tokens,
    stop_tokens,
    strict,
    to_weights,
    top_tokens,
    union,
)

RIGHT, WRONG, NONE, CUT, UNGRADED = (
    Verdict.CORRECT,
    Verdict.INCORRECT,
    Verdict.NO_ANSWER,
    Verdict.TRUNCATED,
    Verdict.UNGRADED,
)
YES, NO, UNTESTED = Criticality.CRITICAL, Criticality.NOT_CRITICAL, Criticality.UNTESTED


def evidence(*positions: tuple[Verdict, ...], probabilities: tuple[float, ...] = (0.4, 0.2, 0.1)) -> Evidence:
    """One position a tuple of verdicts, rank 2 first."""
    outcomes = {
        position: {
            rank: Outcome(p, verdict)
            for rank, (verdict, p) in enumerate(zip(verdicts, probabilities, strict=False), 2)
        }
        for position, verdicts in enumerate(positions)
    }
    return Evidence("s", len(positions), outcomes)


#     rank 2    rank 3      strict-3  strict-2  union     graded
TABLE = [
    (WRONG, WRONG, YES, YES, YES, 2.0),
    (NONE, CUT, YES, YES, YES, 2.0),
    (WRONG, RIGHT, NO, YES, YES, 1.0),
    (RIGHT, WRONG, NO, NO, YES, 1.0),
    (RIGHT, RIGHT, NO, NO, NO, 0.0),
    (WRONG, UNGRADED, UNTESTED, YES, YES, 0.0),
    (UNGRADED, WRONG, UNTESTED, UNTESTED, YES, 0.0),
    (UNGRADED, RIGHT, NO, UNTESTED, UNTESTED, 0.0),
    (UNGRADED, UNGRADED, UNTESTED, UNTESTED, UNTESTED, 0.0),
]


@pytest.mark.parametrize(("second", "third", "strict3", "strict2", "any_fails", "count"), TABLE)
def test_each_rule_on_each_pair_of_verdicts(second, third, strict3, strict2, any_fails, count):
    one = evidence((second, third))
    assert strict(one, 3) == [strict3]
    assert strict(one, 2) == [strict2]
    assert union(one, 3) == [any_fails]
    assert graded(one, 3) == [count]


def test_rules_answer_position_by_position():
    several = evidence((WRONG, WRONG), (RIGHT, WRONG), (UNGRADED, WRONG))
    assert strict(several, 3) == [YES, NO, UNTESTED]
    assert to_weights(strict(several, 3)) == [1.0, 0.0, 0.0]
    assert graded(several, 3) == [2.0, 1.0, 0.0]


def test_lazy_evidence_is_enough_for_strict_rules():
    lazy = evidence((RIGHT,), (WRONG, RIGHT), (WRONG, WRONG))
    assert strict(lazy, 3) == [NO, NO, YES]
    assert strict(lazy, 2) == [NO, YES, YES]


@pytest.mark.parametrize("rule", [union, graded])
def test_lazy_evidence_is_refused_where_every_alternative_counts(rule):
    lazy = evidence((WRONG, WRONG), (RIGHT,))
    with pytest.raises(SelectionError, match="annotate with mode = 'eager'"):
        rule(lazy, 3)
    rule(lazy, 2)


@pytest.mark.parametrize("rule", [strict, union, graded])
def test_ranks_beyond_the_evidence_are_refused(rule):
    with pytest.raises(SelectionError, match="or with a larger k"):
        rule(evidence((UNGRADED, UNGRADED)), 4)


def test_a_floor_leaves_improbable_alternatives_out():
    one = evidence((WRONG, RIGHT), probabilities=(0.4, 0.1))
    assert strict(one, 3, 0.1) == [NO], "a floor is the least probability that counts"
    assert strict(one, 3, 0.11) == [YES]
    assert strict(one, 3, 0.41) == [UNTESTED]
    assert union(evidence((RIGHT, WRONG)), 3, 0.3) == [NO]
    assert graded(evidence((WRONG, WRONG)), 3, 0.3) == [1.0]
    assert graded(evidence((WRONG, WRONG)), 3, 0.5) == [0.0]


def test_below_the_floor_nothing_has_to_be_run():
    lazy = evidence((RIGHT,), probabilities=(0.01,))
    assert union(lazy, 3, 0.05) == [UNTESTED]
    assert graded(lazy, 3, 0.05) == [0.0]


def test_evidence_is_gathered_by_solution_position_and_rank(make_solution, make_rollout):
    solutions = [make_solution("b", (1, 2)), make_solution("a", (1, 2, 3))]
    rollouts = [
        make_rollout(2, 3, WRONG, 0.125, solution_id="a"),
        make_rollout(0, 2, RIGHT, 0.25, solution_id="b"),
        make_rollout(2, 2, NONE, 0.25, solution_id="a"),
        make_rollout(0, 2, WRONG, solution_id="of no interest"),
    ]
    first, second = gather_evidence(solutions, rollouts)
    assert (first.solution_id, first.num_tokens) == ("b", 2)
    assert first.outcomes == {0: {2: Outcome(0.25, RIGHT)}}
    assert (second.solution_id, second.num_tokens) == ("a", 3)
    assert second.at(2) == {2: Outcome(0.25, NONE), 3: Outcome(0.125, WRONG)}
    assert second.at(0) == {}


def verdicts_at_positions(verdicts):
    probabilities = st.lists(st.floats(0.0, 0.5), min_size=2, max_size=2).map(lambda p: sorted(p)[::-1])
    position = st.tuples(st.sampled_from(verdicts), st.sampled_from(verdicts), probabilities)
    return st.lists(position, min_size=1, max_size=8).map(
        lambda positions: Evidence(
            "s",
            len(positions),
            {
                index: {2: Outcome(p[0], second), 3: Outcome(p[1], third)}
                for index, (second, third, p) in enumerate(positions)
            },
        )
    )


ANY = verdicts_at_positions(list(Verdict))
DECIDED = verdicts_at_positions([RIGHT, WRONG, NONE, CUT])
FLOORS = st.floats(0.0, 0.6)


def critical(labels) -> set[int]:
    return {index for index, label in enumerate(labels) if label is YES}


@given(ANY, FLOORS)
def test_strict_3_is_inside_strict_2_is_inside_union(one, floor):
    inner, middle, outer = strict(one, 3, floor), strict(one, 2, floor), union(one, 3, floor)
    assert critical(inner) <= critical(middle) <= critical(outer)


@given(DECIDED, FLOORS)
def test_graded_weighs_exactly_what_union_calls_critical(one, floor):
    weights = graded(one, 3, floor)
    assert {index for index, weight in enumerate(weights) if weight > 0} == critical(union(one, 3, floor))
    assert {index for index, weight in enumerate(weights) if weight == 2} <= critical(strict(one, 3, floor))


@given(ANY)
def test_with_one_alternative_strict_and_union_are_the_same(one):
    assert strict(one, 2) == union(one, 2)


@given(ANY, FLOORS, FLOORS)
def test_a_higher_floor_only_takes_from_union_and_never_clears_a_strict_token(one, a, b):
    low, high = sorted((a, b))
    assert critical(union(one, 3, high)) <= critical(union(one, 3, low))
    pairs = zip(strict(one, 3, low), strict(one, 3, high), strict=True)
    assert all(after is not NO for before, after in pairs if before is YES)


@given(DECIDED, FLOORS, FLOORS)
def test_a_higher_floor_never_raises_a_graded_weight(one, a, b):
    low, high = sorted((a, b))
    pairs = zip(graded(one, 3, low), graded(one, 3, high), strict=True)
    assert all(after <= before for before, after in pairs)


@given(ANY)
def test_lazily_gathered_evidence_gives_the_same_strict_labels(one):
    lazy = Evidence(
        "s",
        one.num_tokens,
        {
            position: {r: o for r, o in at.items() if r == 2 or at[2].verdict is not RIGHT}
            for position, at in one.outcomes.items()
        },
    )
    assert strict(lazy, 3) == strict(one, 3)
    assert strict(lazy, 2) == strict(one, 2)


COUNTS = st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@given(COUNTS, st.integers(0, 2**32 - 1))
def test_a_random_control_has_exactly_the_count_that_is_asked_for(sizes, seed):
    num_tokens, count = sizes
    drawn = random_tokens(num_tokens, count, seed)
    assert len(drawn) == num_tokens and drawn.sum() == count


def test_the_random_control_follows_its_seed():
    first, again, other = (random_tokens(100, 10, seed).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_the_random_control_is_drawn_evenly_from_all_tokens():
    counts = sum(random_tokens(8, 2, seed).astype(int) for seed in range(2000))
    # 2000 draws of 2 in 8: 500 each, with a standard deviation of 19
    assert all(400 < count < 600 for count in counts)


def test_the_highest_scores_are_taken_and_of_equal_ones_the_earlier():
    scores = np.array([0.5, 2.0, 0.5, 1.0, 0.5])
    assert top_tokens(scores, [5], [1]).tolist() == [False, True, False, False, False]
    assert top_tokens(scores, [5], [3]).tolist() == [True, True, False, True, False]
    assert top_tokens(scores, [5], [4]).tolist() == [True, True, True, True, False]


def test_tokens_are_ranked_within_their_own_response():
    scores = np.array([9.0, 8.0, 7.0, 1.0, 2.0])
    assert top_tokens(scores, [3, 2], [1, 1]).tolist() == [True, False, False, False, True]
    assert top_tokens(scores, [3, 2], [0, 2]).tolist() == [False, False, False, True, True]


SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 3.0]), min_size=1, max_size=30)


@given(SCORES, st.data())
def test_as_many_are_taken_as_asked_and_none_that_is_left_scores_higher(scores, data):
    count = data.draw(st.integers(0, len(scores)))
    taken = top_tokens(np.array(scores), [len(scores)], [count])
    assert taken.sum() == count
    inside, outside = np.array(scores)[taken], np.array(scores)[~taken]
    assert not len(inside) or not len(outside) or inside.min() >= outside.max()


@given(SCORES, st.data())
def test_more_tokens_of_a_ranking_hold_the_fewer(scores, data):
    count = data.draw(st.integers(0, len(scores) - 1))
    fewer, more = (top_tokens(np.array(scores), [len(scores)], [n]) for n in (count, count + 1))
    assert (fewer & ~more).sum() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_numbers_are_refused(bad):
    with pytest.raises(SelectionError, match="1 of 3 scores are not numbers"):
        top_tokens(np.array([1.0, bad, 2.0]), [3], [1])


@pytest.mark.parametrize(
    ("share", "num_tokens", "count"),
    [
        (0.15, 100, 15),
        (0.15, 10, 2),
        (0.145, 100, 15),
        (0.1, 4, 0),
        (0.125, 4, 1),
        (1.0, 7, 7),
        (1e-3, 500, 1),
    ],
)
def test_a_share_is_the_nearest_whole_number_and_a_half_goes_up(share, num_tokens, count):
    assert count_of_share(share, num_tokens) == count


def test_a_prefix_is_the_first_tokens_of_each_solution():
    assert first_tokens([3, 1], 2).tolist() == [True, True, False, True]


def test_stop_tokens_are_the_last_ones_of_solutions_that_stopped():
    assert stop_tokens([2, 3], [True, False]).tolist() == [False, True, False, False, False]
