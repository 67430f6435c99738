"""Evaluate: greedy and sampled responses of the base and of every checkpoint, with verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cruxtune.engines import Decoding, Engine
from cruxtune.models import ModelFiles
from cruxtune.problems import PromptEncoder
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.sections import EvaluateSection
from cruxtune.records import GREEDY, Completion, Problem, Response, Verdict
from cruxtune.stages.resources import open_engine, open_verifier, stop_rule, verify_settings
from cruxtune.stages.train import train_manifest, training_runs
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, parts_of, read_part, require_intact
from cruxtune.verify import StopRule, Verifier

BASE = "base"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One checkpoint on one benchmark."""

    checkpoint: str
    benchmark: str


def evaluate(recipe: Recipe) -> StageResult:
    """Write one directory of responses a checkpoint and benchmark, `evaluate/<checkpoint>/<benchmark>/`."""
    space = Workspace(recipe)
    wanted = {item: evaluate_manifest(space, item) for item in evaluations(recipe)}
    missing = [item for item in wanted if not is_complete(directory_of(space, item), wanted[item])]
    if missing:
        with open_verifier(recipe) as verifier:
            for checkpoint in dict.fromkeys(item.checkpoint for item in missing):
                due = [item for item in missing if item.checkpoint == checkpoint]
                _evaluate_checkpoint(space, verifier, checkpoint, {item: wanted[item] for item in due})
    directories = {item: directory_of(space, item) for item in wanted}
    return StageResult(tuple(directories.values()), tuple(directories[item] for item in missing))


def evaluations(recipe: Recipe) -> list[Evaluation]:
    """All checkpoints, the base first, on all benchmarks."""
    checkpoints = [BASE, *(run.name for run in training_runs(recipe))]
    return [Evaluation(checkpoint, name) for checkpoint in checkpoints for name in recipe.evaluate.benchmarks]


def directory_of(space: Workspace, item: Evaluation) -> Path:
    return space.path("evaluate", item.checkpoint, item.benchmark)


def evaluate_manifest(space: Workspace, item: Evaluation) -> Manifest:
    """What a directory of responses must have been made from."""
    recipe = space.recipe
    settings = {
        "model": space.numerics(),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "evaluate": recipe.evaluate.model_dump(mode="json", exclude={"benchmarks"}),
        "engine": recipe.engine.model_dump(mode="json", include={"batch_size"}),
        "problems": recipe.evaluate.benchmarks[item.benchmark].model_dump(mode="json", exclude={"path"}),
        "verify": verify_settings(recipe),
    }
    runs = {run.name: run for run in training_runs(recipe)}
    run = runs.get(item.checkpoint)
    inputs = {space.path("train", run.name): train_manifest(space, run)} if run else {}
    return space.manifest("evaluate", settings, inputs, source=recipe.evaluate.benchmarks[item.benchmark])


@dataclass(frozen=True, slots=True)
class Responder:
    """One checkpoint that answers problems, and the verifier that grades it."""

    engine: Engine
    verifier: Verifier
    encoder: PromptEncoder
    settings: EvaluateSection
    stop_rule: StopRule | None = None

    def respond(self, problems: Sequence[Problem], seed: int) -> list[Response]:
        """The greedy response to each problem, then `num_samples` sampled ones."""
        samples = range(GREEDY, self.settings.num_samples)
        asked = [(sample, problem) for sample in samples for problem in problems]
        completions = self._complete(problems, seed)
        texts = [(p, c.text, c.finish_reason) for (_, p), c in zip(asked, completions, strict=True)]
        grades = self.verifier.verify_many(texts)
        return [
            Response(problem.id, sample, completion, grade)
            for (sample, problem), completion, grade in zip(asked, completions, grades, strict=True)
        ]

    def _complete(self, problems: Sequence[Problem], seed: int) -> list[Completion]:
        settings = self.settings
        prompts = [self.encoder.encode(problem) for problem in problems]
        greedy = Decoding(settings.max_new_tokens, self.encoder.stop, is_settled=self.stop_rule)
        completions = self.engine.generate(prompts, greedy)
        if settings.num_samples:
            sampled = replace(greedy, temperature=settings.temperature, seed=seed)
            completions += self.engine.generate(prompts * settings.num_samples, sampled)
        return completions


def _evaluate_checkpoint(
    space: Workspace, verifier: Verifier, checkpoint: str, wanted: dict[Evaluation, Manifest]
) -> None:
    engine = open_engine(space.recipe, _files_of(space, checkpoint))
    encoder = PromptEncoder(space.recipe.prompt.template, engine.tokenizer)
    for item, manifest in wanted.items():
        problems = space.problems(space.recipe.evaluate.benchmarks[item.benchmark])
        rule = stop_rule(space.recipe, problems)
        responder = Responder(engine, verifier, encoder, space.recipe.evaluate, rule)
        with StageWriter(directory_of(space, item), manifest) as writer:
            _write_parts(writer, responder, problems, f"{item.checkpoint} {item.benchmark}")
            writer.finish(_counts(writer.directory, problems, space.recipe.evaluate.part_size))


def _files_of(space: Workspace, checkpoint: str) -> ModelFiles:
    if checkpoint == BASE:
        return space.model
    directory = space.path("train", checkpoint)
    require_intact(directory)
    return ModelFiles(checkpoint, directory / "model")


def _write_parts(writer: StageWriter, responder: Responder, problems: Sequence[Problem], label: str) -> None:
    missing, done = writer.missing_parts(problems, responder.settings.part_size, Response)
    with progress_bar(f"evaluate {label}", len(problems), done) as bar:
        for index, part in missing:
            responses = responder.respond(part, responder.settings.seed * 10_007 + index)
            writer.write_part(index, Problem, part)
            writer.write_part(index, Response, responses)
            bar.advance(len(part))


def _counts(directory: Path, problems: Sequence[Problem], part_size: int) -> dict[str, float]:
    indices = [index for index, _ in parts_of(problems, part_size)]
    responses = [response for index in indices for response in read_part(directory, index, Response)]
    greedy = [response for response in responses if response.sample == GREEDY]
    return {
        "num_problems": len(problems),
        "num_responses": len(responses),
        **{f"greedy_{verdict}": sum(r.grade.verdict is verdict for r in greedy) for verdict in Verdict},
    }
