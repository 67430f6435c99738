"""Texts that end where they are settled have the verdicts of texts that went on, on a real model."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest

from cruxtune.counterfactual import Annotator, Task
from cruxtune.engines import Decoding
from cruxtune.models import find_model
from cruxtune.problems import PromptEncoder
from cruxtune.problems.synthetic import generate_problems
from cruxtune.records import AnswerKind, FinishReason, Grade, Origin, Rollout, Solution, Verdict
from cruxtune.verify import StopRule, Verifier


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The tiny model, to which its end of text is a written-out mark like any other: it never stops."""
    from cruxtune.engines.loading import load_both
    from cruxtune.engines.reference import ReferenceEngine

    directory = tmp_path_factory.mktemp("never-stops")
    shutil.copytree(Path(str(resources.files("cruxtune"))) / "tiny", directory, dirs_exist_ok=True)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"):
        settings = json.loads((directory / name).read_text())
        for key, value in {"eos_token_id": 1, "eos_token": "<|pad|>", "unk_token": None}.items():
            settings |= {key: value} if key in settings else {}
        for token in settings.get("added_tokens", ())[:1]:
            token["special"] = False
        (directory / name).write_text(json.dumps(settings))
    return ReferenceEngine(*load_both(find_model(str(directory)), trust_remote_code=False))


@pytest.fixture(scope="module")
def solved(engine):
    """A problem and its solution, written up to the mark."""
    problems = generate_problems("train", 3, seed=0)[2:]
    encoder = PromptEncoder("cot", engine.tokenizer)
    prompts = [encoder.encode(problem) for problem in problems]
    completions = engine.generate(prompts, Decoding(100, is_settled=StopRule((AnswerKind.MATH,))))
    assert {completion.finish_reason for completion in completions} == {FinishReason.SETTLED}
    return [
        (problem, Solution(problem.id, problem.id, prompt, done, Grade(Verdict.CORRECT, ""), Origin.GREEDY))
        for problem, prompt, done in zip(problems, prompts, completions, strict=True)
    ]


def rollouts_of(engine, solved, is_settled) -> list[Rollout]:
    decoding = Decoding(100, is_settled=is_settled)
    with Verifier() as verifier:
        annotator = Annotator(engine, verifier, decoding, k=2)
        news = list(annotator.annotate(Task(problem, solution) for problem, solution in solved))
    rollouts = [rollout for evidence in news for rollout in evidence.rollouts]
    return sorted(rollouts, key=lambda r: (r.solution_id, r.branch.position))


def test_verdicts_are_those_of_full_continuations_for_fewer_tokens(engine, solved):
    ended = rollouts_of(engine, solved, StopRule((AnswerKind.MATH,)))
    went_on = rollouts_of(engine, solved, None)
    assert [rollout.grade for rollout in ended] == [rollout.grade for rollout in went_on]
    assert {Verdict.CORRECT, Verdict.INCORRECT} <= {rollout.grade.verdict for rollout in ended}
    for short, long in zip(ended, went_on, strict=True):
        assert long.continuation.finish_reason is FinishReason.LENGTH
        length = len(short.continuation.token_ids)
        assert long.continuation.token_ids[:length] == short.continuation.token_ids
    num_ended, num_went_on = (sum(len(r.continuation.token_ids) for r in rs) for rs in (ended, went_on))
    assert num_ended < 0.6 * num_went_on
