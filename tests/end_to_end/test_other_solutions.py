"""Training on the solutions of others, on the tiny model: gathered, scored, selected, trained."""

import json
import shutil

import pytest
import torch
from commands import write_recipe
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from cruxtune.errors import ArtifactError, SelectionError
from cruxtune.models import find_model
from cruxtune.recipe import load_recipe
from cruxtune.records import Origin, Solution, TokenWeights, Verdict
from cruxtune.stages import gather, report, score, select, train
from cruxtune.stages.runs import run_of
from cruxtune.stages.train import examples_of
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_manifest, read_records

TRAINING = ("train.num_epochs=1", "train.batch_size=4", "train.micro_batch_size=4")


@pytest.fixture
def small(finished, tmp_path):
    """Loads the recipe of a run that is annotated, with overrides."""
    later = shutil.ignore_patterns("select", "train", "evaluate", "report")
    path = write_recipe(tmp_path, shutil.copytree(finished, tmp_path / "out", ignore=later))
    return lambda *overrides: load_recipe(path, [*TRAINING, *overrides])


def weights(recipe, name):
    rows = read_records(recipe.output_dir / "select" / name, TokenWeights)
    return {row.solution_id: row.loss_weights for row in rows}


def total(rows):
    return sum(weight > 0 for row in rows.values() for weight in row)


def responses(finished, path, *more):
    """A file of the right and the wrong solutions of a run, and other rows."""
    rows = [
        {"problem": s.problem_id, "response": s.completion.text}
        for s in read_records(finished / "solve", Solution)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
    return f"solutions.web={{type='file', path='{path}'}}"


def test_responses_in_a_file_are_verified_and_trained_on(finished, small, tmp_path):
    base = find_model("tiny").directory
    first = next(read_records(finished / "solve", Solution))
    long = {"problem": first.problem_id, "response": "so " * 2000}
    recipe = small(
        responses(finished, tmp_path / "web.jsonl", long),
        "select.web={type='all', solutions='web'}",
        f"select.gain={{type='score', model='{base}', share=0.15, solutions='web'}}",
        "select.stated={type='formula', formula='key & number', solutions='web'}",
        "train.selections=['web']",
    )
    gather(recipe)
    theirs = {s.problem_id: s for s in read_records(finished / "solve", Solution)}
    gathered = list(read_records(recipe.output_dir / "gather" / "web", Solution))
    assert len(gathered) == len(theirs) == 24 and {s.origin for s in gathered} == {Origin.OFFLINE}
    for solution in gathered:
        original = theirs[solution.problem_id]
        assert solution.prompt_ids == original.prompt_ids
        if original.completion.has_stopped:
            assert solution.grade == original.grade
            assert solution.completion.token_ids == original.completion.token_ids
    counts = read_manifest(recipe.output_dir / "gather" / "web").counts
    assert (counts["num_responses"], counts["num_left_out"]) == (25, 1)
    score(recipe)
    select(recipe)
    right = {s.id for s in gathered if s.grade.verdict is Verdict.CORRECT}
    assert set(weights(recipe, "web")) == right and 0 < len(right) < 24
    assert total(weights(recipe, "stated")) >= len(right)
    train(recipe)
    assert list(read_manifest(recipe.output_dir / "train" / "web-seed0").inputs) == ["select/web"]
    assert gather(recipe).made == ()
    responses(finished, tmp_path / "web.jsonl")
    with pytest.raises(ArtifactError, match=r"gather/web was made with source\.sha256"):
        gather(recipe)


def test_where_no_response_is_right_there_is_nothing_to_select(finished, small, tmp_path):
    first = next(read_records(finished / "solve", Solution))
    path = tmp_path / "web.jsonl"
    path.write_text(json.dumps({"problem": first.problem_id, "response": "no idea"}))
    recipe = small(
        f"solutions.web={{type='file', path='{path}'}}", "select.web={type='all', solutions='web'}"
    )
    gather(recipe)
    with pytest.raises(ArtifactError, match=r"none of the 1 solutions in .*gather/web is correct"):
        select(recipe)


OTHERS = (
    "select.evidence={type='strict', solutions='other'}",
    "select.carried={type='transferred', selection='cft', solutions='other'}",
)


def test_a_model_of_the_same_tokens_reuses_annotations_as_they_are(finished, small):
    recipe = small(f"solutions.other={{type='run', path='{finished}'}}", *OTHERS)
    gather(recipe)
    result = select(recipe)
    assert result.note == ""
    cft = {f"{id}#other": row for id, row in weights(recipe, "cft").items()}
    assert weights(recipe, "evidence") == weights(recipe, "carried") == cft
    solutions = {s.id: s for s in read_records(finished / "solve", Solution)}
    for example in read_records(recipe.output_dir / "gather" / "other", Solution):
        assert example.completion == solutions[example.problem_id].completion


def test_a_model_of_other_tokens_takes_them_by_score_or_by_character(finished, small, tmp_path):
    model = another_family(tmp_path / "model", finished)
    recipe = small(
        f"model.name={model}",
        f"output_dir={tmp_path / 'mine'}",
        f"solutions.other={{type='run', path='{finished}'}}",
        "select={carried={type='transferred', selection='cft', solutions='other'}, "
        f"gain={{type='score', model='{model}', share=0.15, solutions='other'}}}}",
        "train.selections=['carried', 'gain']",
    )
    gather(recipe)
    score(recipe)
    result = select(recipe)
    counts = read_manifest(recipe.output_dir / "select" / "carried").counts
    assert counts["num_covered_characters"] == counts["num_source_characters"] > 0
    assert counts["num_extra_characters"] > 0
    assert "select.carried: " in result.note and "chosen characters are in selected tokens" in result.note
    train(recipe)
    made = list(read_records(recipe.output_dir / "gather" / "other", Solution))
    theirs = {s.id: s for s in read_records(finished / "solve", Solution)}
    assert len(made) == 3 and {s.grade.verdict for s in made} == {Verdict.CORRECT}
    assert all(s.completion.text == theirs[s.problem_id].completion.text for s in made)
    space = Workspace(recipe)
    (examples,) = examples_of(space, [run_of(space, "carried", 0)]).values()
    assert sum(w > 0 for e in examples for w in e.loss_weights) == counts["num_selected"]
    refused = recipe.model_copy(
        update={"select": small(f"solutions.other={{type='run', path='{finished}'}}", *OTHERS).select}
    )
    shutil.rmtree(recipe.output_dir / "select")
    only = {"evidence": refused.select["evidence"]}
    with pytest.raises(SelectionError, match=r"select\.evidence: the tokenizer of tiny is another one"):
        select(refused.model_copy(update={"select": only}))


def another_family(directory, finished):
    """A random OLMo 2 whose tokens hold up to three digits and the space before them."""
    core = Tokenizer(models.BPE())
    pattern = pre_tokenizers.Split(Regex(r" ?\p{N}{1,3}| ?[^\s\p{N}]+|\s"), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pattern, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    texts = [s.completion.text for s in read_records(finished / "solve", Solution)] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|pad|>"],
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    names = {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
    PreTrainedTokenizerFast(tokenizer_object=core, **names).save_pretrained(directory)
    torch.manual_seed(0)
    config = Olmo2Config(
        vocab_size=core.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        eos_token_id=0,
        pad_token_id=1,
        bos_token_id=None,
    )
    Olmo2ForCausalLM(config).save_pretrained(directory)
    return directory


def test_a_report_names_the_solutions_of_others(finished, small, tmp_path):
    recipe = small(
        responses(finished, tmp_path / "web.jsonl"),
        "select.web={type='all', solutions='web'}",
        "train.selections=[]",
    )
    shutil.copytree(finished / "evaluate" / "base", recipe.output_dir / "evaluate" / "base")
    gather(recipe)
    select(recipe)
    report(recipe)
    tables = (recipe.output_dir / "report" / "results.md").read_text()
    right = read_manifest(recipe.output_dir / "gather" / "web").counts["num_correct"]
    assert f"right solutions of web: {right:.0f} of 24" in tables
    assert "share selected by web (web): 100.0 %" in tables


def test_responses_on_held_out_problems_are_left_out(finished, small, tmp_path, caplog):
    recipe = small(
        responses(finished, tmp_path / "web.jsonl"),
        "validation={num_problems=5}",
        f"output_dir={tmp_path / 'mine'}",
        "select={web={type='all', solutions='web'}}",
        "train.selections=['web']",
    )
    gather(recipe)
    select(recipe)
    held_out = {problem.id for problem in Workspace(recipe).validation_problems}
    gathered = {s.problem_id for s in read_records(recipe.output_dir / "gather" / "web", Solution)}
    assert len(held_out) == 5 and len(gathered) == 19 and not gathered & held_out
    assert "5 of web are on problems that [validation] holds out: left out" in caplog.text


def test_a_held_out_question_under_another_id_is_left_out_too(small, tmp_path):
    rows = [
        {"id": f"{copy}{n}", "question": f"{n} + 1?", "answer": str(n + 1)} for copy in "ab" for n in range(4)
    ]
    told = [{"problem": row["id"], "response": f"The answer is {row['answer']}."} for row in rows]
    for name, found in (("problems", rows), ("web", told)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    recipe = small(
        f"problems={{type='file', path='{tmp_path / 'problems.jsonl'}', id_column='id'}}",
        f"solutions.web={{type='file', path='{tmp_path / 'web.jsonl'}'}}",
        "validation={num_problems=2}",
        f"output_dir={tmp_path / 'mine'}",
        "select={web={type='all', solutions='web'}}",
        "train.selections=['web']",
    )
    gather(recipe)
    asked = {problem.id: problem.question for problem in Workspace(recipe).problems(recipe.problems)}
    gathered = [asked[s.problem_id] for s in read_records(recipe.output_dir / "gather" / "web", Solution)]
    held_out = {problem.question for problem in Workspace(recipe).validation_problems}
    assert len(held_out) == 2 and len(gathered) == 4 and not held_out & set(gathered)
