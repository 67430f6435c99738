"""Weights from the tokens of one tokenizer to those of another, by the characters that they write."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.errors import SelectionError
from cruxtune.select import Coverage, transfer


def carried(source: list[bytes], digits: str, target: list[bytes]) -> tuple[str, Coverage]:
    weights, coverage = transfer(source, [float(digit) for digit in digits], target)
    return "".join(f"{weight:g}" for weight in weights), coverage


@pytest.mark.parametrize(
    ("source", "digits", "target", "expected", "coverage"),
    [
        # one digit a token to three digits a token, and back
        ([b"1", b"2", b"3", b"4"], "0100", [b"123", b"4"], "10", Coverage(1, 1, 2)),
        ([b"123", b"4"], "10", [b"1", b"2", b"3", b"4"], "1110", Coverage(3, 3, 0)),
        # a leading space is a character of its token
        ([b" is", b" ", b"9"], "001", [b" is", b" 9"], "01", Coverage(1, 1, 1)),
        ([b" is", b" 9"], "01", [b" is", b" ", b"9"], "011", Coverage(2, 2, 0)),
        # graded: the largest weight that a token has a share in
        ([b"a", b"b", b"c", b"d"], "0121", [b"ab", b"cd"], "12", Coverage(3, 3, 1)),
        # the pieces of a split character are one character: each of its tokens is selected
        ([b"x", b"\xc2", b"\xbd", b"y"], "0010", [b"x\xc2", b"\xbd", b"y"], "110", Coverage(1, 1, 1)),
        ([b"\xe2\x82", b"\xac5"], "01", [b"\xe2", b"\x82\xac", b"5"], "111", Coverage(2, 2, 0)),
        # spaces before a text are free, either way
        ([b" So", b" 7"], "10", [b"So", b" 7"], "10", Coverage(2, 2, 0)),
        ([b"So", b" 7"], "10", [b" ", b"So", b" 7"], "010", Coverage(2, 2, 0)),
        # special tokens write nothing: that at the end goes with that at the end
        ([b"7", b""], "01", [b"7", b""], "01", Coverage(0, 0, 0)),
        ([b"7", b""], "10", [b"7", b""], "10", Coverage(1, 1, 0)),
        ([b"7", b""], "11", [b"7"], "1", Coverage(1, 1, 0)),
        ([b"7"], "1", [b"7", b""], "10", Coverage(1, 1, 0)),
    ],
)
def test_tokens_that_share_a_character_with_a_selected_one_are_selected(
    source, digits, target, expected, coverage
):
    assert carried(source, digits, target) == (expected, coverage)


def test_another_text_is_refused():
    with pytest.raises(SelectionError, match="the texts differ: 'ab' and 'ac'"):
        transfer([b"ab"], [1.0], [b"ac"])


def cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    return [whole[a:b] for a, b in pairwise(sorted({0, len(whole), *(c % len(whole) for c in cuts)}))]


CUTS = st.lists(st.integers(0, 1000), max_size=8)


@given(st.text(min_size=1), CUTS, CUTS, st.data())
def test_no_selected_character_is_lost_and_the_same_cuts_change_nothing(text, cuts, other_cuts, data):
    whole = text.encode(errors="surrogatepass")
    source, target = cut(whole, cuts), cut(whole, other_cuts)
    digits = "".join(data.draw(st.sampled_from("012")) for _ in source)
    _, coverage = carried(source, digits, target)
    assert coverage.num_covered == coverage.num_selected
    again, same = carried(source, digits, source)
    assert all(new >= old for new, old in zip(again, digits, strict=True))
    if all(piece.decode(errors="ignore").encode() == piece for piece in source):
        assert again == digits and same.num_extra == 0
