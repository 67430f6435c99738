"""All of GSM8K train as input, and a sample of it through the tiny model. Needs the data files."""

from collections import Counter
from pathlib import Path

import pytest
from commands import cruxtune, write_recipe

from cruxtune.models import find_model, load_tokenizer
from cruxtune.problems import PromptEncoder, load_gsm8k
from cruxtune.records import Solution, Verdict
from cruxtune.store import read_records
from cruxtune.verify import Verifier

TRAIN = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "train.jsonl"

pytestmark = pytest.mark.skipif(not TRAIN.exists(), reason=f"the data are not at {TRAIN}")


def test_every_problem_loads_has_a_prompt_and_a_gold_answer_that_verifies_against_itself():
    problems = load_gsm8k("train", TRAIN)
    assert len({problem.id for problem in problems}) == len(problems) == 7473
    encoder = PromptEncoder("cot", load_tokenizer(find_model("tiny")))
    assert all(encoder.encode(problem) for problem in problems)
    with Verifier() as verifier:
        grades = verifier.verify_many((p, f"So it is.\n#### {p.answer}", None) for p in problems)
    assert Counter(grade.verdict for grade in grades) == {Verdict.CORRECT: 7473}


def test_fifty_problems_are_solved_without_a_crash(tmp_path):
    recipe = write_recipe(tmp_path, tmp_path / "out")
    result = cruxtune(
        "solve", recipe, "problems.type=gsm8k", f"problems.path={TRAIN}", "problems.num_problems=50"
    )
    assert result.returncode == 0, result.stderr
    solutions = list(read_records(tmp_path / "out" / "solve", Solution))
    assert len(solutions) == 50 and all(solution.prompt_ids for solution in solutions)
