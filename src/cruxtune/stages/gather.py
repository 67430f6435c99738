"""Gather: solutions written by others, verified and as this model's token ids (CFT paper, section 5.2)."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cruxtune.models import load_tokenizer
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.sources import FileSolutions
from cruxtune.records import Origin, Problem, Solution, Verdict
from cruxtune.stages.offline import Encoder, Response, read_file, read_run
from cruxtune.stages.other_run import OtherRun
from cruxtune.stages.resources import open_verifier, verify_settings
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, parts_of, read_part
from cruxtune.store.files import hash_file
from cruxtune.verify import Verifier

logger = logging.getLogger(__name__)

PART_SIZE = 256


def gather(recipe: Recipe) -> StageResult:
    """Write `gather/<name>/` for each entry of [solutions]: right responses and wrong ones, with verdicts."""
    space = Workspace(recipe)
    wanted = {name: gather_manifest(space, name) for name in recipe.solutions}
    directories = {name: space.path("gather", name) for name in recipe.solutions}
    missing = [name for name in wanted if not is_complete(directories[name], wanted[name])]
    if missing:
        with open_verifier(recipe) as verifier:
            for name in missing:
                _gather(space, name, wanted[name], verifier)
    return StageResult(tuple(directories.values()), tuple(directories[name] for name in missing))


def gather_manifest(space: Workspace, name: str) -> Manifest:
    """What a directory of gathered solutions must have been made from."""
    recipe = space.recipe
    source = recipe.solutions[name]
    contents: dict[str, Any]
    if isinstance(source, FileSolutions):
        contents = {"sha256": hash_file(source.path) if source.path.is_file() else None}
    else:
        contents = OtherRun(source).digests()
    settings = {
        "source": source.model_dump(mode="json", exclude={"path", "model", "revision"}) | contents,
        "prompt": recipe.prompt.model_dump(mode="json"),
        "verify": verify_settings(recipe),
    }
    if recipe.validation:
        settings["validation"] = recipe.validation.model_dump(mode="json")
    return space.manifest("gather", settings, inputs={}, problems=space.training_problems)


def _gather(space: Workspace, name: str, wanted: Manifest, verifier: Verifier) -> None:
    tokenizer = load_tokenizer(space.model, space.recipe.model.trust_remote_code)
    encoder = Encoder(space, tokenizer)
    responses = _read_training(space, name, encoder)
    parts = list(parts_of(responses, PART_SIZE))
    with StageWriter(space.path("gather", name), wanted) as writer:
        missing, num_done = writer.missing_parts(parts, Solution)
        with progress_bar(f"gather {name}", len(responses), num_done) as bar:
            for index, part in missing:
                solutions = _solutions(encoder, verifier, part)
                writer.write_part(index, Problem, list({r.problem.id: r.problem for r in part}.values()))
                writer.write_part(index, Solution, solutions)
                bar.advance(len(part))
        writer.finish(_counts(writer.directory, [index for index, _ in parts], len(responses)))


def _read_training(space: Workspace, name: str, encoder: Encoder) -> list[Response]:
    """Without those on problems that are held out."""
    responses = _read(space, name, encoder)
    kept = [response for response in responses if response.problem.id not in space.held_out_ids]
    if left := len(responses) - len(kept):
        logger.warning("%d of %s are on problems that [validation] holds out: left out", left, name)
    return kept


def _read(space: Workspace, name: str, encoder: Encoder) -> list[Response]:
    source, problems = space.recipe.solutions[name], space.problems(space.recipe.problems)
    if isinstance(source, FileSolutions):
        return read_file(source, problems, name)
    return read_run(OtherRun(source), problems, name, encoder.tokenizer, space.identity)


def _solutions(encoder: Encoder, verifier: Verifier, responses: Sequence[Response]) -> list[Solution]:
    """Those that this model can hold, graded."""
    encoded = [(response, ids) for response in responses if (ids := encoder.encode(response))]
    texts = [(r.problem, completion.text, completion.finish_reason) for r, (_, completion) in encoded]
    grades = verifier.verify_many(texts)
    return [
        Solution(response.id, response.problem.id, prompt, completion, grade, Origin.OFFLINE)
        for (response, (prompt, completion)), grade in zip(encoded, grades, strict=True)
    ]


def _counts(directory: Path, indices: Sequence[int], num_responses: int) -> dict[str, float]:
    solutions = [solution for index in indices for solution in read_part(directory, index, Solution)]
    return {
        "num_responses": num_responses,
        "num_left_out": num_responses - len(solutions),
        **{f"num_{verdict}": sum(s.grade.verdict is verdict for s in solutions) for verdict in Verdict},
    }
