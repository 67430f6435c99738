"""The trunk engine against the reference engine, token for token in float32."""

import logging
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import ARCHITECTURES, EOS, make_model, words
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from cruxtune.counterfactual import Annotator, Task, alternatives
from cruxtune.engines import Decoding, Fork, continue_branches
from cruxtune.engines.loading import load_both
from cruxtune.engines.reference import ReferenceEngine, inspect_logits
from cruxtune.engines.trunk import TrunkEngine, compiling, products, trunk_or_reference
from cruxtune.engines.trunk.attention import attend, attend_plainly, join
from cruxtune.engines.trunk.capacity import PassSize
from cruxtune.engines.trunk.compiling import kernels
from cruxtune.engines.trunk.drafts import DraftIndex
from cruxtune.engines.trunk.padded import PaddedCache
from cruxtune.engines.trunk.paged import PagedCache, Pages
from cruxtune.engines.trunk.products import Products, has_onednn
from cruxtune.engines.trunk.rows import RowPlaces
from cruxtune.engines.trunk.run import Run
from cruxtune.engines.trunk.shared import SharedTrunks
from cruxtune.engines.trunk.stem import TrunkStem
from cruxtune.engines.trunk.trunks import TiledTrunks
from cruxtune.errors import ModelError
from cruxtune.models import find_model
from cruxtune.problems import PromptEncoder
from cruxtune.problems.synthetic import generate_problems
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
from cruxtune.verify import StopRule, Verifier

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="this machine has no C compiler")
WAYS = [pytest.param(True, id="paged", marks=needs_compiler), pytest.param(False, id="padded")]
"""To keep what branches write: with the kernel or without."""
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "factor": 4.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 24,
}
TIE = 1e-4
"""Between two logits that the order of a sum can turn round."""


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    config_type, model_type, others = ARCHITECTURES[request.param]
    return make_model(config_type, model_type, **others)


@pytest.fixture(scope="module")
def qwen2():
    return make_model(Qwen2Config, Qwen2ForCausalLM)


Text = tuple[list[int], list[int], list[Branch]]
"""A prompt, a completion and the branches that leave it."""


def texts_of(engine: ReferenceEngine, limit: int) -> list[Text]:
    """Solutions of three prompts, one of them not the model's own words."""
    prompts = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14]]
    completions = [done.token_ids for done in engine.generate(prompts, Decoding(limit))]
    completions[1] = [3, 4, 5, 3, 4, 6, 3, 4, 5, 7, 3, 4]
    return [
        (prompt, ids, alternatives(engine.inspect(prompt, ids, 3), ids, 3))
        for prompt, ids in zip(prompts, completions, strict=True)
    ]


def continue_all(engine: ReferenceEngine, texts: Sequence[Text], decoding: Decoding) -> list[dict]:
    """All branches of all texts in one call: what becomes of each, by text."""
    stems = [engine.open_stem(prompt, ids, 3) for prompt, ids, _ in texts]
    forks = iter([Fork(stem, b) for stem, (*_, branches) in zip(stems, texts, strict=True) for b in branches])
    found: dict[int, dict[Branch, Completion]] = {id(stem): {} for stem in stems}
    for batch in engine.continue_forks(lambda: next(forks, None), decoding):
        for fork, completion in batch:
            assert fork.branch not in found[id(fork.stem)], "told twice"
            found[id(fork.stem)][fork.branch] = completion
    return [found[id(stem)] for stem in stems]


@torch.inference_mode()
def margin_at(engine: ReferenceEngine, ids: list[int]) -> float:
    """First logit minus second after a text, from a plain forward pass."""
    best = engine.model(torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2).values
    return float(best[0] - best[1])


def differences(engine: ReferenceEngine, texts: Sequence[Text], expected, found) -> Iterator[str]:
    """Branches that became something else, but for those in which two logits were all but equal."""
    for (prompt, ids, branches), wanted, got in zip(texts, expected, found, strict=True):
        assert got.keys() == wanted.keys() == set(branches)
        for branch in branches:
            if wanted[branch] == got[branch]:
                continue
            pairs = zip(wanted[branch].token_ids, got[branch].token_ids, strict=False)
            same = next((n for n, (a, b) in enumerate(pairs) if a != b), 0)
            text = prompt + ids[: branch.position] + wanted[branch].token_ids[:same]
            margin = margin_at(engine, text)
            print(f"{branch}: differs at token {same}, where the margin is {margin:.2g}")
            if margin > TIE:
                yield f"{branch}: {wanted[branch].token_ids} became {got[branch].token_ids}"


def engine_of(model, with_kernel: bool, **settings) -> TrunkEngine:
    """With either of the two ways to keep what branches write."""
    engine = TrunkEngine(model, words(), with_kernel=with_kernel, **settings)
    assert type(engine.new_memory(9, 4)).__name__ == ("PagedMemory" if with_kernel else "PaddedMemory")
    return engine


@pytest.mark.parametrize("with_kernel", WAYS)
@pytest.mark.parametrize(("max_draft", "max_tokens"), [(0, 512), (6, 512), (3, 11)])
def test_every_branch_becomes_what_the_reference_engine_says(model, max_draft, max_tokens, with_kernel):
    reference = ReferenceEngine(model, words(), batch_size=16)
    texts, decoding = texts_of(reference, 40), Decoding(40)
    expected = continue_all(reference, texts, decoding)
    assert {c.finish_reason for done in expected for c in done.values()} >= {FinishReason.LENGTH}
    engine = engine_of(model, with_kernel, max_draft=max_draft, max_tokens=max_tokens)
    found = continue_all(engine, texts, decoding)
    assert not list(differences(reference, texts, expected, found))


def test_a_trunk_is_inspected_as_the_reference_engine_does(model):
    reference, engine = ReferenceEngine(model, words()), TrunkEngine(model, words())
    prompt, ids = [5, 6, 7], [3, 30, 12, 5, 9]
    wanted, found = reference.inspect(prompt, ids, 3), engine.inspect(prompt, ids, 3)
    assert found.top_ids.tolist() == wanted.top_ids.tolist()
    for name in ("top_probs", "token_probs", "entropies", "margins"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-3, abs=1e-5), name


def test_drafts_save_passes_and_change_nothing(qwen2):
    reference = ReferenceEngine(qwen2, words())
    text = ([5], [3, 4] * 20, [Branch(3, 2, 6, 0.1), Branch(8, 2, 6, 0.1)])
    decoding = Decoding(60)
    (expected,) = continue_all(reference, [text], decoding)
    counts = {}
    for max_draft in (0, 6):
        engine = TrunkEngine(qwen2, words(), max_draft=max_draft)
        assert continue_all(engine, [text], decoding) == [expected]
        counts[max_draft] = engine.num_forwarded
    assert counts[0] == sum(len(c.token_ids) - 1 for c in expected.values())
    assert counts[6] >= counts[0], "a draft that is not accepted is forwarded in vain"


@pytest.mark.parametrize("with_kernel", WAYS)
def test_200_solutions_of_the_tiny_model(with_kernel):
    loaded, tokenizer = load_both(find_model("tiny"), trust_remote_code=False)
    reference = ReferenceEngine(loaded, tokenizer, batch_size=200)
    encoder = PromptEncoder("cot", tokenizer)
    prompts = [encoder.encode(problem) for problem in generate_problems("validation", 200)]
    decoding = Decoding(120, encoder.stop, is_settled=StopRule(("math",)))
    rng = random.Random(0)
    texts = []
    for prompt, solution in zip(prompts, reference.generate(prompts, decoding), strict=True):
        ids = solution.token_ids
        branches = alternatives(reference.inspect(prompt, ids, 3), ids, 3)
        texts.append((prompt, ids, rng.sample(branches, 1)))
    engine = trunk_or_reference(TrunkEngine(loaded, tokenizer, with_kernel=with_kernel))
    assert isinstance(engine, TrunkEngine)
    expected, found = (continue_all(each, texts, decoding) for each in (reference, engine))
    assert not list(differences(reference, texts, expected, found))


def test_stop_strings_and_settled_texts_end_branches_where_the_reference_engine_ends_them(qwen2):
    reference = ReferenceEngine(qwen2, words(), batch_size=16)
    engine = TrunkEngine(qwen2, words(), max_tokens=32)
    texts = texts_of(reference, 40)
    free = continue_all(reference, texts, Decoding(40))
    common = [token for done in free for c in done.values() for token in c.token_ids[2:] if token != EOS]
    word = f"w{max(set(common), key=common.count)}"
    for decoding in (
        Decoding(40, stop=(word,)),
        Decoding(40, stop=(f"{word} w", "w9 w9")),
        Decoding(40, is_settled=lambda text: text.count(word) >= 2),
        Decoding(40, stop=("w9",), is_settled=lambda text: text.count(word) >= 2),
    ):
        expected = continue_all(reference, texts, decoding)
        assert expected != free
        found = continue_all(engine, texts, decoding)
        assert not list(differences(reference, texts, expected, found))
        engine.num_forwarded = 0
    assert engine.num_forwarded < sum(len(c.token_ids) for done in free for c in done.values())


def test_branches_at_the_end_of_the_context_are_cut_there(qwen2):
    reference, engine = ReferenceEngine(qwen2, words()), TrunkEngine(qwen2, words())
    prompt, ids = [4] * 80, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    branches = [Branch(p, 2, 21, 0.1) for p in (0, 7, 14)] + [Branch(3, 2, EOS, 0.1)]
    texts = [(prompt, ids, branches)]
    expected = continue_all(reference, texts, Decoding(60))
    assert continue_all(engine, texts, Decoding(60)) == expected
    assert max(branch.position + len(c.token_ids) for branch, c in expected[0].items()) == 96 - 80


def test_what_take_gives_may_depend_on_what_was_told_before(qwen2):
    engine = TrunkEngine(qwen2, words(), max_tokens=4)
    (_, (prompt, ids, _), _) = texts_of(engine, 20)
    stem = engine.open_stem(prompt, ids, 3)
    due = [Fork(stem, Branch(0, 2, 7, 0.1))]
    told = []

    def take() -> Fork | None:
        return due.pop() if due else None

    for batch in engine.continue_forks(take, Decoding(30)):
        told += batch
        if len(told) < 5:
            due.append(Fork(stem, Branch(len(told), 2, 7, 0.1)))
    assert [fork.branch.position for fork, _ in told] == [0, 1, 2, 3, 4]
    alone = continue_branches(
        ReferenceEngine(qwen2, words()), stem, [f.branch for f, _ in told], Decoding(30)
    )
    assert {fork.branch: completion for fork, completion in told} == alone


FAILING = [
    (PaddedCache, "absorb"),
    (PaddedCache, "drop"),
    (PaddedCache, "prepare"),
    (PaddedCache, "__init__"),
    (PagedCache, "absorb"),
    (PagedCache, "drop"),
    (PagedCache, "__init__"),
    (Pages, "take"),
]


@needs_compiler
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), MemoryError()], ids=type)
@pytest.mark.parametrize(("owner", "method"), FAILING, ids=lambda each: getattr(each, "__name__", each))
def test_wherever_memory_runs_out_no_branch_is_lost_or_told_twice(
    owner, method, error, qwen2, monkeypatch, caplog
):
    engine = engine_of(qwen2, with_kernel=owner is not PaddedCache, max_tokens=64)
    texts, decoding = texts_of(engine, 40), Decoding(40)
    expected = continue_all(engine, texts, decoding)
    plain, calls = getattr(owner, method), []

    def fail_twice(self, *arguments):
        calls.append(method)
        if len(calls) in (1, 4):
            raise error
        return plain(self, *arguments)

    monkeypatch.setattr(owner, method, fail_twice)
    assert continue_all(engine, texts, decoding) == expected
    assert len(calls) > 4
    assert [record.message[:16] for record in caplog.records] == ["memory ran out: "] * 2


@pytest.mark.parametrize("with_kernel", WAYS)
def test_a_solution_that_memory_is_too_small_for_waits_until_branches_have_ended(
    with_kernel, qwen2, monkeypatch
):
    engine = engine_of(qwen2, with_kernel, max_tokens=16)
    expected, openings = annotated(engine), []
    plain = TrunkEngine._open_stem

    def fail_now_and_then(self, *arguments):
        openings.append(arguments)
        if len(openings) in (2, 3, 6):
            raise torch.OutOfMemoryError("out of memory")
        return plain(self, *arguments)

    monkeypatch.setattr(TrunkEngine, "_open_stem", fail_now_and_then)
    assert annotated(engine) == expected
    assert len(openings) == 6 + 3


def test_a_solution_that_memory_never_suffices_for_is_an_error(qwen2, monkeypatch):
    def fail(self, *arguments):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(TrunkEngine, "_open_stem", fail)
    with pytest.raises(ModelError, match="memory is too small for 13 tokens in one pass"):
        annotated(TrunkEngine(qwen2, words()))


def annotated(engine: TrunkEngine) -> set:
    """What becomes of all branches of six solutions, opened as there is room for them."""
    problem = Problem("p", "", "1")
    grade = Grade(Verdict.CORRECT, "1")
    tasks = []
    for number in range(6):
        done = Completion([3 + number, *range(4, 15)], "", FinishReason.STOP)
        tasks.append(Task(problem, Solution(str(number), "p", [5], done, grade, Origin.GREEDY)))
    with Verifier() as verifier:
        annotator = Annotator(engine, verifier, Decoding(20), is_lazy=False)
        rollouts = [rollout for evidence in annotator.annotate(tasks) for rollout in evidence.rollouts]
    found = {(r.solution_id, r.branch, tuple(r.continuation.token_ids)) for r in rollouts}
    assert len(found) == len(rollouts) == 6 * 12 * 2
    return found


def test_when_memory_runs_out_the_batch_shrinks_and_nothing_is_lost(qwen2, monkeypatch, caplog):
    engine = TrunkEngine(qwen2, words(), max_tokens=64)
    texts = texts_of(engine, 40)
    expected = continue_all(engine, texts, Decoding(40))
    forward, failures = TrunkEngine.forward, []

    def forward_until_full(self, step):
        best = forward(self, step)
        if len(best) > 9:
            failures.append(len(best))
            raise torch.OutOfMemoryError("out of memory")
        return best

    monkeypatch.setattr(TrunkEngine, "forward", forward_until_full)
    with caplog.at_level(logging.WARNING):
        assert continue_all(engine, texts, Decoding(40)) == expected
    assert len(failures) == 3 and engine.max_tokens == 64, "the next run begins with all again"
    assert "memory ran out: going on with 8 tokens a pass" in caplog.text


@pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN for this processor")
@torch.inference_mode()
def test_products_by_onednn_are_those_of_torch_and_end_with_the_pass(qwen2, monkeypatch):
    ids, calls, onednn = torch.tensor([[5, 6, 7, 8]]), [], products._onednn
    expected = qwen2(ids).logits
    monkeypatch.setattr(products, "_onednn", lambda *given: calls.append(given) or onednn(*given))
    with Products(qwen2).by_onednn():
        found = qwen2(ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, check_stride=False)
    assert torch.equal(qwen2(ids).logits, expected)
    assert len(calls) == 7 * qwen2.config.num_hidden_layers + 1


def test_passes_grow_again_when_memory_has_sufficed_for_a_while():
    size, seen = PassSize(64, patience=2), []
    size.shrink(40)
    for _ in range(8):
        size.grow()
        seen.append(size.now)
    assert seen == [20, 20, 20, 40, 40, 40, 40, 64]
    size.shrink(0)
    for _ in range(8):
        size.grow()
    assert size.now == 64 // 2 * 2
    with pytest.raises(ModelError, match="even with a single branch"):
        for _ in range(9):
            size.shrink(1)


def test_memory_that_never_suffices_is_an_error_with_a_remedy(qwen2, monkeypatch):
    def fail(self, step):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(TrunkEngine, "forward", fail)
    engine = TrunkEngine(qwen2, words(), max_tokens=4)
    with pytest.raises(ModelError, match="memory runs out even with a single branch: use a smaller dtype"):
        continue_all(engine, texts_of(engine, 10), Decoding(10))


def test_other_errors_are_not_taken_for_want_of_memory(qwen2, monkeypatch):
    def fail(self, step):
        raise RuntimeError("something else")

    monkeypatch.setattr(TrunkEngine, "forward", fail)
    engine = TrunkEngine(qwen2, words())
    with pytest.raises(RuntimeError, match="something else"):
        continue_all(engine, texts_of(engine, 10), Decoding(10))


@pytest.mark.parametrize("with_kernel", WAYS)
def test_little_memory_means_few_branches_at_a_time(qwen2, monkeypatch, with_kernel):
    engine = engine_of(qwen2, with_kernel)
    texts = texts_of(engine, 40)
    expected = continue_all(engine, texts, Decoding(40))
    sizes = []
    forward = Run._forward
    monkeypatch.setattr("cruxtune.engines.trunk.engine.free_bytes", lambda device: 200_000)
    monkeypatch.setattr(
        Run, "_forward", lambda run: (sizes.append(sum(map(len, run._cohorts))), forward(run))[1]
    )
    assert continue_all(engine, texts, Decoding(40)) == expected
    assert 1 <= max(sizes) < sum(len(branches) for *_, branches in texts) / 2


@pytest.mark.parametrize(
    ("config_type", "model_type", "others", "reason"),
    [
        (MistralConfig, MistralForCausalLM, {"sliding_window": 8}, "a sliding window of 8"),
        (Gemma2Config, Gemma2ForCausalLM, {}, "layers of sliding_attention"),
        (
            LlamaConfig,
            LlamaForCausalLM,
            {"rope_parameters": LONG_ROPE},
            "its positions (longrope)",
        ),
    ],
)
def test_models_that_cannot_share_a_trunk_fall_back_with_a_message(
    config_type, model_type, others, reason, caplog
):
    engine = TrunkEngine(make_model(config_type, model_type, **others), words())
    with caplog.at_level(logging.WARNING):
        other = trunk_or_reference(engine)
    assert type(other) is ReferenceEngine and reason in caplog.text


def test_a_model_whose_attention_is_of_another_kind_is_found_out_by_trial(qwen2, monkeypatch, caplog):
    engine = TrunkEngine(qwen2, words())
    assert trunk_or_reference(engine) is engine
    monkeypatch.setattr(
        "cruxtune.engines.trunk.step.join", lambda first, first_lse, second, second_lse: first
    )
    with caplog.at_level(logging.WARNING):
        assert type(trunk_or_reference(engine)) is ReferenceEngine
    assert "on a trial its logits differ" in caplog.text


def test_generate_still_works_after_branches(qwen2):
    engine = TrunkEngine(qwen2, words())
    before = engine.generate([[5, 6], [7, 8, 9]], Decoding(20))
    continue_all(engine, texts_of(engine, 20), Decoding(20))
    assert engine.generate([[5, 6], [7, 8, 9]], Decoding(20)) == before


def test_bfloat16_works_and_mostly_agrees(qwen2):
    model = make_model(Qwen2Config, Qwen2ForCausalLM).bfloat16()
    reference, engine = ReferenceEngine(model, words()), TrunkEngine(model, words())
    assert trunk_or_reference(engine) is engine
    texts = texts_of(reference, 40)
    expected, found = (continue_all(each, texts, Decoding(40)) for each in (reference, engine))
    same = [w[b] == f[b] for w, f in zip(expected, found, strict=True) for b in w]
    assert sum(same) > 0.5 * len(same)


@pytest.mark.parametrize("groups", [1, 3])
def test_two_pieces_of_attention_join_to_the_whole(groups):
    torch.manual_seed(0)
    query = torch.randn(2, 2 * groups, 5, 8)
    key, value = torch.randn(2, 2, 11, 8), torch.randn(2, 2, 11, 8)
    mask = torch.zeros(2, 1, 5, 11).masked_fill(torch.rand(2, 1, 5, 11) < 0.3, -torch.inf)
    mask[..., 0] = mask[..., 4] = 0.0
    first, first_lse = attend(query, key[:, :, :4], value[:, :, :4], mask[..., :4], 0.3)
    second, second_lse = attend(query, key[:, :, 4:], value[:, :, 4:], mask[..., 4:], 0.3)
    whole = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True
    )
    assert torch.allclose(join(first, first_lse, second, second_lse), whole, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize(("kv_heads", "dim", "value_dim"), [(4, 8, 8), (2, 32, 32), (1, 64, 64), (2, 12, 20)])
def test_the_kernel_of_rows_gives_what_the_definition_says(kv_heads, dim, value_dim):
    """Rows of several lengths, one with two tokens, on pages in any order."""
    torch.manual_seed(0)
    heads, page, row = 4, 4, np.array([0, 1, 1, 2])
    column = np.array([0, 6, 7, 11])
    table = np.array([[5, 0, 0], [3, 0, 0], [4, 1, 2]])
    keys, values = torch.randn(6, page, kv_heads, dim), torch.randn(6, page, kv_heads, value_dim)
    query = torch.randn(heads, 4, dim)
    key, value = torch.randn(kv_heads, 4, dim), torch.randn(kv_heads, 4, value_dim)
    found = kernels()
    assert found is not None
    out, lse = found.rows.attend(query, key, value, keys, values, RowPlaces(row, column, table), 0.3)
    for token, (own, last) in enumerate(zip(row, column, strict=True)):
        seen = [table[own][at // page] * page + at % page for at in range(last + 1)]
        flat_keys, flat_values = keys.reshape(-1, kv_heads, dim), values.reshape(-1, kv_heads, value_dim)
        assert torch.equal(flat_keys[seen[-1]], key[:, token])
        whole = attend_plainly(
            query[None, :, token : token + 1].reshape(1, kv_heads, -1, dim),
            flat_keys[seen].transpose(0, 1)[None],
            flat_values[seen].transpose(0, 1)[None],
            torch.zeros(1, 1, 1, 1),
            0.3,
        )
        assert torch.allclose(out[token], whole[0].reshape(heads, value_dim), atol=1e-5)
        assert torch.allclose(lse[token], whole[1].reshape(heads), atol=1e-5)


@needs_compiler
@pytest.mark.parametrize(("kv_heads", "dim"), [(4, 8), (2, 32), (1, 64), (2, 128), (2, 12)])
def test_the_kernel_of_trunks_gives_what_the_definition_says(kv_heads, dim):
    """Tokens of two trunks in any order, more than a tile has, that see from one key to several blocks."""
    torch.manual_seed(0)
    heads, num_tokens, rng = 4, 45, np.random.default_rng(0)
    stems = np.array([trunk_of(n, kv_heads, dim) for n in (150, 9)])
    owner = rng.integers(0, 2, num_tokens)
    prefix = np.where(owner == 0, rng.integers(1, 151, num_tokens), rng.integers(1, 10, num_tokens))
    query = 3 * torch.randn(num_tokens, heads, dim).transpose(0, 1)
    compiled = kernels()
    assert compiled is not None
    found = TiledTrunks(compiled.trunks, stems[owner], prefix).attend(1, query, dim**-0.5)
    expected = SharedTrunks(stems[owner], prefix).attend(1, query, dim**-0.5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, check_stride=False)


def trunk_of(num_tokens: int, kv_heads: int, dim: int) -> TrunkStem:
    """Of two layers and nothing but noise."""
    keys, values = ([torch.randn(1, kv_heads, num_tokens, dim) for _ in range(2)] for _ in ("keys", "values"))
    inspection = inspect_logits(torch.randn(1, 9), torch.tensor([4]), 2)
    return TrunkStem([], [4], inspection, keys, values, DraftIndex([4], 9))


def test_without_a_compiler_there_is_no_kernel(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    assert kernels.__wrapped__() is None
    assert "no kernel for attention" in caplog.text and "install a C compiler" in caplog.text
    assert not list(tmp_path.rglob("*.so"))


@needs_compiler
@pytest.mark.parametrize("damage", [b"no library", None])
def test_a_damaged_library_is_made_again(monkeypatch, tmp_path, damage):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = compiling._library()
    library.unlink()
    if damage is None:
        empty = tmp_path / "empty.c"
        empty.touch()
        subprocess.run(["cc", "-shared", "-fPIC", str(empty), "-o", str(library)], check=True)
    else:
        library.write_bytes(damage)
    kernels.__wrapped__()  # a library without the function stays loaded in this process
    assert b"attend_rows" in library.read_bytes()


@pytest.mark.parametrize("named", [None, ""])
def test_without_a_home_there_is_no_kernel(monkeypatch, caplog, named):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if named is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", named)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiling.Path, "home", no_home)
    assert kernels.__wrapped__() is None
    assert "Could not determine home directory" in caplog.text


def test_a_source_that_does_not_compile_is_no_obstacle(monkeypatch, tmp_path, caplog):
    broken = tmp_path / "rows.c"
    broken.write_text("int attend_rows(", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiling, "SOURCES", (broken,))
    assert kernels.__wrapped__() is None
    assert not list(tmp_path.rglob("*.so"))


def test_the_fast_kernel_gives_what_the_definition_says():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 8), torch.randn(3, 2, 9, 8), torch.randn(3, 2, 9, 8)
    mask = torch.zeros(3, 1, 4, 9).masked_fill(torch.rand(3, 1, 4, 9) < 0.3, -torch.inf)
    mask[..., 0] = 0.0
    fast, slow = attend(query, key, value, mask, 0.4), attend_plainly(query, key, value, mask, 0.4)
    for one, other in zip(fast, slow, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
