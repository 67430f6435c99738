"""Other ways to annotate and train, and other architectures, through the command line."""

import json
import shutil

import pytest
from commands import cruxtune, write_recipe
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from cruxtune.models import find_model, load_tokenizer
from cruxtune.records import Rollout, Solution, TokenWeights
from cruxtune.store import read_records

ONLY_CFT = ("select={cft={type='strict', k=3}}", "train.selections=['cft']")


@pytest.mark.parametrize(
    "settings",
    [
        ("train.lora={r=2, alpha=4}",),
        ("train.padding_free=true",),
        ("train.bf16=true", "train.gradient_checkpointing=true"),
        ("train.save_every=1",),
        ("train.micro_batch_size=2",),
    ],
)
def test_every_way_to_train_gives_a_checkpoint_that_answers(finished, tmp_path, settings):
    out = tmp_path / "out"
    shutil.copytree(finished, out, ignore=shutil.ignore_patterns("train", "evaluate", "report"))
    recipe = write_recipe(tmp_path, out)
    asked = (recipe, *settings, "train.selections=['sft']", "evaluate.num_samples=0")
    for verb in ("train", "evaluate"):
        result = cruxtune(verb, *asked)
        assert result.returncode == 0, result.stderr
    left = {path.name for path in (out / "train" / "sft-seed0").iterdir()}
    assert left == {"model", "steps.jsonl", "manifest.json", ".lock"}


def test_a_method_with_an_objective_of_its_own_is_trained_by_it(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out, ignore=shutil.ignore_patterns("evaluate", "report"))
    recipe = write_recipe(tmp_path, out)
    asked = (
        recipe,
        "train.selections=['sft', 'dft']",
        "train.methods={dft={selection='sft', objective='dft'}}",
    )
    result = cruxtune("train", *asked)
    assert result.returncode == 0, result.stderr
    logs = [(out / "train" / f"{name}-seed0" / "steps.jsonl").read_text() for name in ("sft", "dft")]
    sft, dft = ([json.loads(line) for line in log.splitlines()] for log in logs)
    assert 0 < dft[0]["loss"] < sft[0]["loss"]
    assert dft[0]["entropy"] == pytest.approx(sft[0]["entropy"], rel=1e-4)
    assert (out / "train" / "sft-seed0" / "manifest.json").read_bytes() == (
        finished / "train" / "sft-seed0" / "manifest.json"
    ).read_bytes()


def test_lazy_annotation_gives_the_labels_of_an_eager_one_for_fewer_rollouts(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished / "solve", out / "solve")
    recipe = write_recipe(tmp_path, out)
    for verb in ("annotate", "select"):
        result = cruxtune(verb, recipe, "annotate.mode=lazy", *ONLY_CFT)
        assert result.returncode == 0, result.stderr
    lazy, eager = (list(read_records(place / "select" / "cft", TokenWeights)) for place in (out, finished))
    assert lazy == eager
    tried, all_of_them = (list(read_records(place / "annotate", Rollout)) for place in (out, finished))
    assert len(tried) < len(all_of_them)
    assert set(map(repr, tried)) <= set(map(repr, all_of_them))


@pytest.mark.parametrize("k", [2, 4])
def test_another_k_tries_other_ranks(finished, tmp_path, k):
    out = tmp_path / "out"
    shutil.copytree(finished / "solve", out / "solve")
    result = cruxtune(
        "annotate",
        write_recipe(tmp_path, out),
        f"annotate.k={k}",
        "annotate.num_solutions=1",
        "select={cft={type='strict', k=2}}",
        "train.selections=['cft']",
    )
    assert result.returncode == 0, result.stderr
    ranks = {rollout.branch.rank for rollout in read_records(out / "annotate", Rollout)}
    assert ranks == set(range(2, k + 1))


@pytest.mark.parametrize(
    ("config_type", "model_type"),
    [
        (LlamaConfig, LlamaForCausalLM),
        (Olmo2Config, Olmo2ForCausalLM),
        (Qwen3Config, Qwen3ForCausalLM),
    ],
)
def test_other_architectures_solve_in_bfloat16(tmp_path, config_type, model_type):
    tokenizer = load_tokenizer(find_model("tiny"))
    config = config_type(
        vocab_size=768,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model_type(config).bfloat16().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    recipe = write_recipe(tmp_path, tmp_path / "out")
    result = cruxtune("solve", recipe, f"model.name={tmp_path / 'model'}", "solve.max_new_tokens=10")
    assert result.returncode == 0, result.stderr
    assert len(list(read_records(tmp_path / "out" / "solve", Solution))) == 24
