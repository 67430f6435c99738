"""Where drafts come from, against a search that looks at every place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.engines.trunk.drafts import NOWHERE, DraftIndex

TOKENS = st.integers(0, 3)


def searched(ids: list[int], before: int, last: int, nearby: int) -> int:
    """The place after the pair: the first from `nearby` on, else the last one before it."""
    places = [n for n in range(2, len(ids)) if (ids[n - 2], ids[n - 1]) == (before, last)]
    later = [place for place in places if place >= nearby]
    # a pair at the very end counts as found, and has nothing after it
    at_end = len(ids) >= 2 and (ids[-2], ids[-1]) == (before, last)
    if later:
        return later[0]
    if at_end:
        return NOWHERE
    return places[-1] if places else NOWHERE


@given(st.lists(TOKENS, max_size=12), st.lists(st.tuples(TOKENS, TOKENS, st.integers(-1, 14)), min_size=1))
def test_a_pair_is_found_where_a_search_finds_it(ids, asked):
    index = DraftIndex(ids, vocabulary=4)
    before, last, nearby = (np.array(column) for column in zip(*asked, strict=True))
    found = index.follow(before, last, nearby)
    nearby_at_end = [min(n, len(ids)) for n in nearby]
    expected = [searched(ids, *pair) for pair in zip(before, last, nearby_at_end, strict=True)]
    assert found.tolist() == expected


def test_the_nearest_place_ahead_is_taken_before_one_behind():
    index = DraftIndex([1, 2, 9, 1, 2, 8, 1, 2, 7], vocabulary=10)
    pair = np.array([1]), np.array([2])
    places = [int(index.follow(*pair, np.array([nearby]))[0]) for nearby in (0, 2, 3, 5, 6, 8, 9)]
    assert places == [2, 2, 5, 5, 8, 8, 8]
