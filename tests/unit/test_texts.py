"""Token ids as texts: where a completion ends, and which token wrote what."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cruxtune.engines import Decoding
from cruxtune.engines.texts import finish, suffix_text, token_texts
from cruxtune.records import Completion, FinishReason

NO_STOP = Decoding(99)


def until(*stop: str) -> Decoding:
    return Decoding(99, stop)


@pytest.fixture
def end(tokenizer) -> int:
    return tokenizer.eos_token_id


@pytest.fixture
def to_ids(tokenizer):
    return lambda text: tokenizer(text).input_ids


def test_a_completion_is_cut_after_its_first_stop_token(tokenizer, to_ids, end):
    ids = to_ids("12")
    generated = [*ids, end, *to_ids("34"), end]
    assert finish(tokenizer, generated, frozenset({end}), NO_STOP) == Completion(
        [*ids, end], "12", FinishReason.STOP
    )


def test_any_of_several_stop_tokens_ends_a_completion(tokenizer, to_ids, end):
    (seven,) = to_ids("7")
    done = finish(tokenizer, to_ids("1727"), frozenset({end, seven}), NO_STOP)
    assert done.token_ids == to_ids("17") and done.finish_reason is FinishReason.STOP


def test_a_completion_without_a_stop_ran_into_the_limit(tokenizer, to_ids, end):
    done = finish(tokenizer, to_ids("12"), frozenset({end}), until("99"))
    assert done == Completion(to_ids("12"), "12", FinishReason.LENGTH)
    assert finish(tokenizer, [], frozenset({end}), NO_STOP) == Completion([], "", FinishReason.LENGTH)


def test_a_completion_is_cut_before_its_first_stop_string(tokenizer, to_ids, end):
    done = finish(tokenizer, [*to_ids("12;34;5"), end], frozenset({end}), until("5", ";"))
    assert done == Completion(to_ids("12"), "12", FinishReason.STOP_STRING)


def test_a_stop_string_may_span_several_tokens(tokenizer, to_ids, end):
    assert len(to_ids("\n\nQ")) > 1
    done = finish(tokenizer, [*to_ids("9"), *to_ids("\n\nQ:")], frozenset({end}), until("\n\nQ"))
    assert done == Completion(to_ids("9"), "9", FinishReason.STOP_STRING)


def test_a_token_that_holds_text_and_the_start_of_a_stop_string_goes_whole(tokenizer, to_ids, end):
    word = next(token for token in range(len(tokenizer)) if tokenizer.decode([token]).isalpha() * token > 258)
    stop = tokenizer.decode([word])[-1] + "!"
    done = finish(tokenizer, [*to_ids("9"), word, *to_ids("!")], frozenset({end}), until(stop))
    assert done == Completion(to_ids("9"), "9", FinishReason.STOP_STRING)


@pytest.mark.parametrize("border", [1, 2])
def test_a_stop_string_may_begin_in_the_prefix(tokenizer, to_ids, end, border):
    ids = to_ids("78;;;12")
    prefix, generated = ids[: 2 + border], ids[2 + border :]
    done = finish(tokenizer, generated, frozenset({end}), until(";;;"), prefix)
    assert done == Completion([], "", FinishReason.STOP_STRING)


def test_a_stop_string_that_is_over_before_the_completion_does_not_end_it(tokenizer, to_ids, end):
    done = finish(tokenizer, to_ids("12"), frozenset({end}), until(";;"), to_ids("7;;"))
    assert done == Completion(to_ids("12"), "12", FinishReason.LENGTH)


def test_a_stop_string_can_be_a_special_token(tokenizer, to_ids, end):
    generated = [*to_ids("12"), end, *to_ids("3")]
    done = finish(tokenizer, generated, frozenset({-1}), until("<|endoftext|>"))
    assert done == Completion(to_ids("12"), "12", FinishReason.STOP_STRING)


def test_the_stop_token_before_a_stop_string_wins(tokenizer, to_ids, end):
    done = finish(tokenizer, [*to_ids("1"), end, *to_ids(";")], frozenset({end}), until(";"))
    assert done.finish_reason is FinishReason.STOP


def test_a_stop_token_that_is_a_stop_string_too_stays_in_the_completion(tokenizer, to_ids, end):
    done = finish(tokenizer, [*to_ids("12"), end], frozenset({end}), until("<|endoftext|>"))
    assert done == Completion([*to_ids("12"), end], "12", FinishReason.STOP)


def test_a_character_that_straddles_the_border_belongs_to_the_completion(tokenizer, to_ids):
    ids = to_ids("a🙂b")
    assert len(ids) == 6
    assert suffix_text(tokenizer, ids[:1], ids[1:]) == "🙂b"
    assert suffix_text(tokenizer, ids[:5], ids[5:]) == "b"


def test_a_character_of_several_tokens_belongs_to_the_last_of_them(tokenizer, to_ids, end):
    assert token_texts(tokenizer, [*to_ids("a🙂b"), end]) == ["a", "", "", "", "🙂", "b", "<|endoftext|>"]
    assert token_texts(tokenizer, []) == []


def test_half_a_character_at_the_end_is_shown_as_such(tokenizer, to_ids):
    assert token_texts(tokenizer, to_ids("a🙂")[:-1]) == ["a", "", "", "\ufffd"]


@pytest.mark.parametrize("text", ["a" * 50, "é🙂中 " * 20, "1, 2;\n\t\u00a0 x" * 9, "\ufffd" * 40 + "a"])
def test_the_shares_of_a_text_join_to_the_whole(tokenizer, to_ids, text):
    assert "".join(token_texts(tokenizer, to_ids(text))) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_shares_of_any_tokens_join_to_the_whole(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=60))
    texts = token_texts(tokenizer, ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == tokenizer.decode(ids, skip_special_tokens=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_finished_text_holds_a_stop_string(tokenizer, data):
    ids = tokenizer(data.draw(st.text("ab;\n", max_size=30))).input_ids
    cut = data.draw(st.integers(0, len(ids)))
    prefix = ids[:cut]
    stop = (";;", "\n;a")
    if any(string in tokenizer.decode(prefix) for string in stop):
        return
    done = finish(tokenizer, ids[cut:], frozenset(), until(*stop), prefix)
    whole = tokenizer.decode([*prefix, *done.token_ids])
    assert not any(string in whole for string in stop)
    assert done.token_ids == ids[cut : cut + len(done.token_ids)]
    stopped = any(string in tokenizer.decode(ids) for string in stop)
    assert (done.finish_reason is FinishReason.STOP_STRING) == stopped
