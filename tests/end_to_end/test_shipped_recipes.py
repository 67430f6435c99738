"""The recipes that ship, from problems to the report: the paper's on small random models."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from cruxtune.pipeline import run
from cruxtune.recipe import load_recipe, shipped_recipes
from cruxtune.records import Solution, TokenWeights
from cruxtune.store import read_records

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.6,
    "bos_token_id": None,
}
ARCHITECTURES = {
    "paper/qwen2.5-3b": "qwen2",
    "paper/qwen2.5-7b": "qwen2",
    "paper/qwen3-8b": "qwen3",
    "paper/llama3.1-8b": "llama",
    "paper/olmo2-7b": "olmo2",
}
SHORT = ("validation.num_problems=2", "solve.max_new_tokens=32", "evaluate.max_new_tokens=8")
NUM_PROBLEMS = 240


def test_the_paper_has_a_recipe_a_model():
    assert set(ARCHITECTURES) <= set(shipped_recipes())
    names = {load_recipe(name).model.name for name in ARCHITECTURES}
    assert len(names) == len(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_recipe_of_the_paper_has_its_settings(name):
    recipe = load_recipe(name)
    assert (recipe.problems.type, recipe.problems.split, recipe.problems.num_problems) == (
        "gsm8k",
        "train",
        None,
    )
    assert recipe.annotate.k == recipe.select["cft"].k == 3
    assert recipe.annotate.num_solutions is None
    train = recipe.train
    assert (train.num_epochs, train.lr_scheduler, train.warmup_ratio) == (3, "cosine", 0.03)
    assert train.bf16 and train.batch_size in (16, 32, 128)
    assert recipe.sweep and recipe.sweep.grid == "paper"
    for method in ("sft", "dft", "entropy", "attention", "cft"):
        assert method in train.selections
        full, lora = train.of(method), train.of(f"{method}-lora")
        assert full.learning_rate in (2e-6, 5e-6, 2e-5) and full.lora is None
        assert lora.learning_rate in (2e-5, 5e-5, 2e-4) and lora.lora is not None
        assert lora.objective == full.objective == ("dft" if method == "dft" else "weighted")
        assert train.selection_of(f"{method}-lora") == train.selection_of(method)
    for rule in (recipe.select["entropy"], recipe.select["attention"]):
        assert rule.match == "cft"


@pytest.fixture(params=["qwen2.5-7b", "qwen3-8b", "llama3.1-8b", "olmo2-7b"])
def dry_run(request, tmp_path, tokenizer) -> list[str]:
    """A recipe, and what it needs to run on a small random model and a small stand-in of the data."""
    name = f"paper/{request.param}"
    write_model(ARCHITECTURES.get(name, "qwen2"), tmp_path / "model", tokenizer)
    where = (f"model.name={tmp_path / 'model'}", f"problems.path={tmp_path / 'train.jsonl'}", *SHORT)
    write_problems(tmp_path, dict.fromkeys(questions(), "0"))
    (solved,) = run(load_recipe(name, [*where, f"output_dir={tmp_path / 'first'}"]), ["solve"])
    solutions = list(read_records(solved.result.directories[0], Solution))
    answers = {questions()[int(s.problem_id.rpartition("/")[2])]: s.grade.answer for s in solutions}
    numbers = [(question, answer) for question, answer in answers.items() if answer and answer.isdigit()]
    assert len(numbers) >= 10, f"the random model writes too few numbers: {len(numbers)}"
    write_problems(tmp_path, dict(numbers[:10]))
    benchmarks = [f"evaluate.benchmarks.{b}.path={tmp_path / f'{b}.jsonl'}" for b in ("gsm8k", "math")]
    return [name, *where, *benchmarks, f"output_dir={tmp_path / 'out'}"]


@pytest.mark.slow
def test_a_recipe_of_the_paper_runs_to_its_report(dry_run, tmp_path):
    name, *overrides = dry_run
    methods = ["sft", "dft", "entropy", "attention", "cft", "random", "cft-lora"]
    swept = ("sweep.methods=['cft']", "sweep.grid={learning_rate=[2e-6, 5e-6]}")
    few = ("train.seeds=[0]", "evaluate.num_samples=0", f"train.selections={methods}", *swept)
    recipe = load_recipe(name, [*overrides, *few])
    verbs = [step.verb for step in run(recipe)]
    assert verbs == ["solve", "annotate", "score", "select", "sweep", "train", "evaluate", "report"]
    assert equal_counts(tmp_path / "out", ["cft", "random", "entropy", "attention"])
    table = (tmp_path / "out" / "report" / "results.md").read_text()
    for method in recipe.train.selections:
        assert f"| {method} |" in table
        made = AutoConfig.from_pretrained(tmp_path / "out" / "train" / f"{method}-seed0" / "model")
        assert made.model_type == ARCHITECTURES[name]


@pytest.mark.slow
@pytest.mark.parametrize("dry_run", ["ablations"], indirect=True)
def test_the_ablations_of_the_paper_run_to_their_report(dry_run, tmp_path):
    name, *overrides = dry_run
    swept = ("sweep.methods=['cft']", "sweep.grid={learning_rate=[2e-6]}")
    recipe = load_recipe(name, [*overrides, "train.seeds=[0]", "evaluate.num_samples=0", *swept])
    assert [step.verb for step in run(recipe)][-1] == "report"
    table = (tmp_path / "out" / "report" / "results.md").read_text()
    assert all(f"| {method} |" in table for method in recipe.train.selections)


@pytest.mark.slow
def test_all_methods_are_compared_on_the_tiny_model(tmp_path):
    small = (
        f"output_dir={tmp_path / 'out'}",
        "problems.num_problems=18",
        "validation.num_problems=2",
        "sweep.methods=['cft']",
        "sample.num_tries=4",
        "annotate.num_solutions=4",
        "train.seeds=[0]",
        "train.num_epochs=1",
        "train.batch_size=4",
        "train.micro_batch_size=4",
        "evaluate.max_new_tokens=4",
        "evaluate.num_samples=1",
        "evaluate.benchmarks.test.num_problems=4",
        "evaluate.benchmarks.hard.num_problems=4",
    )
    recipe = load_recipe("tiny-methods", small)
    assert [step.verb for step in run(recipe)][-1] == "report"
    assert equal_counts(tmp_path / "out", ["cft", "random", "entropy", "attention", "low-confidence"])
    table = (tmp_path / "out" / "report" / "results.md").read_text()
    assert all(table.count(f"| {method} |") == 2 for method in ("base", *recipe.train.selections))


def write_model(kind: str, directory: Path, tokenizer) -> None:
    """Every twentieth token or so ends a text, so that some of them end, and with a number in them."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        **SIZES,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *range(100, len(tokenizer), 20)]
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def questions() -> list[str]:
    return [
        f"Tom has {number} pens, {number % 7} of them {number * 37}. How many?"
        for number in range(NUM_PROBLEMS)
    ]


def write_problems(folder: Path, answers: dict[str, str]) -> None:
    """In the columns of both data sets."""
    gsm8k = [{"question": question, "answer": f"#### {answer}"} for question, answer in answers.items()]
    maths = [
        {"problem": question, "solution": rf"\boxed{{{answer}}}"} for question, answer in answers.items()
    ]
    for name, rows in (("train", gsm8k[:-2]), ("gsm8k", gsm8k[-2:]), ("math", maths[-2:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def equal_counts(directory: Path, names: list[str]) -> bool:
    """Whether these selections take equally many tokens, and more than none."""
    weights = {name: read_records(directory / "select" / name, TokenWeights) for name in names}
    counts = {sum(w > 0 for item in weights[name] for w in item.loss_weights) for name in names}
    return len(counts) == 1 and 0 not in counts
