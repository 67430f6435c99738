"""The reference engine against a bare forward pass a token, on random models of several architectures."""

import pytest
import torch
from random_models import ARCHITECTURES, EOS, VOCABULARY, make_model, words

from cruxtune.counterfactual import alternatives
from cruxtune.engines import Decoding, continue_branches
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.records import Branch, FinishReason

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14], [15, 16], [3, 4, 5, 6]]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def engine(request) -> ReferenceEngine:
    config_type, model_type, others = ARCHITECTURES[request.param]
    model = make_model(config_type, model_type, seed=1, max_position_embeddings=64, **others)
    return ReferenceEngine(model, words(), batch_size=3)


@torch.inference_mode()
def one_token_at_a_time(engine: ReferenceEngine, ids: list[int], max_new_tokens: int) -> list[int]:
    """Greedy decoding as its definition says: no cache, no batch, no padding."""
    new: list[int] = []
    while len(new) < max_new_tokens and EOS not in new:
        logits = engine.model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[0, -1]
        new.append(int(logits.argmax()))
    return new


def test_a_batch_decodes_what_each_prompt_decodes_alone(engine):
    completions = engine.generate(PROMPTS, Decoding(max_new_tokens=20))
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        assert completion.token_ids == one_token_at_a_time(engine, prompt, 20)
        ended = completion.token_ids[-1] == EOS
        assert completion.finish_reason is (FinishReason.STOP if ended else FinishReason.LENGTH)


def test_branches_continue_as_their_prefix_does_alone(engine):
    prompt, limit = PROMPTS[2], 16
    (solution,) = engine.generate([prompt], Decoding(limit))
    ids = solution.token_ids
    branches = alternatives(engine.inspect(prompt, ids, 3), ids, k=3)
    finished = continue_branches(engine, engine.open_stem(prompt, ids, 3), branches, Decoding(limit))
    assert finished.keys() == set(branches)
    for branch, continuation in finished.items():
        start = [*ids[: branch.position], branch.token_id]
        rest = (
            [] if branch.token_id == EOS else one_token_at_a_time(engine, prompt + start, limit - len(start))
        )
        assert continuation.token_ids == [branch.token_id, *rest]


def test_inspection_is_what_each_step_would_have_seen(engine):
    prompt, ids = PROMPTS[0], [7, 30, 12, 5]
    found = engine.inspect(prompt, ids, top_k=3)
    for position, token_id in enumerate(ids):
        with torch.inference_mode():
            logits = engine.model(input_ids=torch.tensor([prompt + ids[:position]])).logits[0, -1]
        probs = logits.softmax(-1)
        top = logits.topk(3)
        assert found.top_ids[position].tolist() == top.indices.tolist()
        assert found.top_probs[position] == pytest.approx(probs[top.indices].numpy(), rel=1e-4)
        assert found.token_probs[position] == pytest.approx(float(probs[token_id]), rel=1e-4)
        assert found.entropies[position] == pytest.approx(float(-(probs * probs.log()).sum()), rel=1e-4)
        assert found.margins[position] == pytest.approx(
            float(top.values[0] - top.values[1]), rel=1e-3, abs=1e-5
        )


def test_a_stop_token_as_the_alternative_ends_the_text_at_once(engine):
    branch = Branch(position=2, rank=2, token_id=EOS, probability=0.1)
    stem = engine.open_stem(PROMPTS[0], [7, 30, 12, 5], 2)
    continuation = continue_branches(engine, stem, [branch], Decoding(16))[branch]
    assert continuation.token_ids == [EOS]
    assert continuation.finish_reason is FinishReason.STOP


def test_sampling_follows_its_seed_and_leaves_the_global_one_alone(engine):
    warm = Decoding(max_new_tokens=12, temperature=1.0, seed=3)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = engine.generate(PROMPTS, warm)
    assert torch.equal(before, torch.get_rng_state())
    assert engine.generate(PROMPTS, warm) == first
    assert engine.generate(PROMPTS, Decoding(max_new_tokens=12, temperature=1.0, seed=4)) != first


def test_samples_have_the_frequencies_of_the_softmax(engine):
    prompt = PROMPTS[0]
    with torch.inference_mode():
        probs = engine.model(input_ids=torch.tensor([prompt])).logits[0, -1].softmax(-1)
    drawn = engine.generate([prompt] * 1500, Decoding(max_new_tokens=1, temperature=1.0, seed=0))
    counts = torch.bincount(torch.tensor([c.token_ids[0] for c in drawn]), minlength=VOCABULARY)
    error = (probs * (1 - probs) / 1500).sqrt() + 1 / 1500
    assert ((counts / 1500 - probs).abs() < 4.5 * error).all()


def test_a_prompt_that_fills_the_context_gets_an_empty_completion_and_harms_no_other(engine):
    alone = engine.generate(PROMPTS, Decoding(20))
    crowded = engine.generate([*PROMPTS, [4] * 64, [4] * 200, [4] * 60], Decoding(20))
    assert crowded[: len(PROMPTS)] == alone
    assert crowded[-3].token_ids == crowded[-2].token_ids == []
    assert crowded[-3].finish_reason is FinishReason.LENGTH
    assert crowded[-1].token_ids == one_token_at_a_time(engine, [4] * 60, 4)


def test_a_stop_string_ends_a_completion_and_is_not_part_of_it(engine):
    completions = engine.generate(PROMPTS, Decoding(20))
    prompt, whole = max(zip(PROMPTS, completions, strict=True), key=lambda pair: len(set(pair[1].token_ids)))
    last = [token_id for token_id in whole.token_ids if token_id != EOS][-1]
    first = whole.token_ids.index(last)
    assert first > 0
    (cut,) = engine.generate([prompt], Decoding(20, stop=(f"w{last}",)))
    assert cut.finish_reason is FinishReason.STOP_STRING
    assert cut.token_ids == whole.token_ids[:first]
    assert f"w{last}" not in cut.text.split()
