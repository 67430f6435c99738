"""Token classes on byte-level tokenizers as models have them: one digit a token, or up to three."""

from itertools import pairwise

import pytest
from handmade import make_tokenizer, sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from cruxtune.select import TokenClass, classify, text_of, token_bytes, token_classes, writes_from
from cruxtune.select.pieces import shared_characters

WORD, NUMBER, OPERATOR, SPECIAL, PUNCTUATION, OTHER = TokenClass


@pytest.fixture(scope="module")
def qwen() -> PreTrainedTokenizerFast:
    return make_tokenizer("")


@pytest.fixture(scope="module")
def llama() -> PreTrainedTokenizerFast:
    return make_tokenizer("{1,3}")


def classes_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[tuple[bytes, TokenClass]]:
    pieces = token_bytes(tokenizer, tokenizer(text).input_ids)
    return list(zip(pieces, token_classes(pieces), strict=True))


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        ("7", NUMBER),
        (" 12", NUMBER),
        ("200", NUMBER),
        ("½", NUMBER),
        ("²", NUMBER),
        ("$5", NUMBER),
        ("3.", NUMBER),
        ("+", OPERATOR),
        (" -", OPERATOR),
        ("−", OPERATOR),
        (" =", OPERATOR),
        ("×", OPERATOR),
        ("**", OPERATOR),
        ("=$", OPERATOR),
        (".", PUNCTUATION),
        (":", PUNCTUATION),
        (";", PUNCTUATION),
        ("?", PUNCTUATION),
        (").\n", PUNCTUATION),
        ("—", PUNCTUATION),
        ("$", SPECIAL),
        (" #", SPECIAL),
        ("@", SPECIAL),
        ("%", SPECIAL),
        ("€", SPECIAL),
        ("\\", SPECIAL),
        ("|", SPECIAL),
        (" the", WORD),
        ("'s", WORD),
        ("2nd", WORD),
        ("\\frac", WORD),
        ("三", WORD),
        ("नि", WORD),
        (" ", OTHER),
        ("\n\n", OTHER),
        ("", OTHER),
        ("\x00", OTHER),
        ("\udce2", OTHER),
    ],
)
def test_the_six_classes(characters, expected):
    assert classify(characters) is expected


@given(st.text(st.characters(exclude_categories=[])))
def test_every_text_has_a_class_and_spaces_around_it_change_nothing(text):
    assert classify(text) is classify(f" {text}\n")


def test_one_digit_tokens_are_numbers(qwen):
    assert classes_of(qwen, "pays 1234 +") == [
        *((piece, WORD) for piece, _ in classes_of(qwen, "pays")),
        (b" ", OTHER),
        (b"1", NUMBER),
        (b"2", NUMBER),
        (b"3", NUMBER),
        (b"4", NUMBER),
        (b" +", OPERATOR),
    ]


def test_tokens_of_up_to_three_digits_are_numbers(llama):
    found = classes_of(llama, "1234 = 200.")
    assert found == [
        (b"123", NUMBER),
        (b"4", NUMBER),
        (b" =", OPERATOR),
        (b" ", OTHER),
        (b"200", NUMBER),
        (b".", PUNCTUATION),
    ]


def test_a_leading_space_belongs_to_the_token_and_changes_nothing(qwen):
    with_space, without = classes_of(qwen, " answer"), classes_of(qwen, "answer")
    assert {kind for _, kind in with_space + without} == {WORD}
    assert any(piece.startswith(b" ") for piece, _ in with_space)


@pytest.mark.parametrize(
    ("text", "expected"), [("½", NUMBER), ("√", OPERATOR), ("€", SPECIAL), ("é", WORD), ("。", PUNCTUATION)]
)
def test_every_piece_of_a_split_character_has_the_class_of_the_character(qwen, text, expected):
    found = classes_of(qwen, text)
    assert len(found) > 1
    assert [kind for _, kind in found] == [expected] * len(found)


def test_a_piece_of_two_characters_has_a_share_in_both():
    pieces = ["a€".encode()[:2], "€5".encode()[1:]]
    assert shared_characters(pieces) == ["a€", "€5"]
    assert token_classes(pieces) == [WORD, NUMBER]


def test_special_tokens_write_nothing_and_added_ones_write_themselves(qwen):
    ids = qwen("is<né><|endoftext|>").input_ids
    pieces = token_bytes(qwen, ids)
    assert pieces[-2:] == ["<né>".encode(), b""]
    assert token_classes(pieces)[-2:] == [WORD, OTHER]


def test_a_sentencepiece_tokenizer_writes_spaces_and_bytes():
    tokenizer = sentencepiece()
    ids = tokenizer.convert_tokens_to_ids(["▁is", "▁", "5", "<0xC2>", "<0xBD>", ".", "</s>"])
    pieces = token_bytes(tokenizer, ids)
    assert pieces == [b" is", b" ", b"5", b"\xc2", b"\xbd", b".", b""]
    assert token_classes(pieces) == [WORD, OTHER, NUMBER, NUMBER, NUMBER, PUNCTUATION, OTHER]


@given(text=st.text())
def test_the_pieces_of_a_text_join_to_it(qwen, text):
    assert text_of(token_bytes(qwen, qwen(text, split_special_tokens=True).input_ids)) == text


@given(st.binary(max_size=20), st.lists(st.integers(0, 20), max_size=6))
def test_pieces_of_any_bytes_share_the_characters_of_their_text(whole, cuts):
    bounds = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[a:b] for a, b in pairwise(bounds)]
    assert all(
        characters.encode(errors="surrogateescape").find(piece) >= 0
        for piece, characters in zip(pieces, shared_characters(pieces), strict=True)
    )


def test_pieces_from_a_character_on():
    pieces = [b"So ", "½ is".encode()[:1], "½ is".encode()[1:], b" 4", b""]
    assert writes_from(pieces, 0) == [True] * 5
    assert writes_from(pieces, 3) == [False, True, True, True, True]
    assert writes_from(pieces, 7) == [False, False, False, True, True]
    assert writes_from(pieces, 9) == [False] * 5
