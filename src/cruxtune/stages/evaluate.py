"""Evaluate: greedy and sampled responses of the base and of every checkpoint, with verdicts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cruxtune.engines import Decoding, Engine
from cruxtune.models import ModelFiles
from cruxtune.problems import PromptEncoder
from cruxtune.recipe import Recipe
from cruxtune.recipe.sections import EvaluateSection
from cruxtune.records import GREEDY, Completion, Problem, Response, Verdict
from cruxtune.stages.crew import Crew, open_crew, write_parts
from cruxtune.stages.resources import stop_rule, verify_settings
from cruxtune.stages.runs import Run, checkpoint_of, run_names, run_of, train_manifest
from cruxtune.stages.terms import WHOLE, Terms, stopped_note
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, parts_of, read_part
from cruxtune.verify import StopRule, Verifier

BASE = "base"
Target = tuple[Path, Manifest]
"""Where the responses go, and what they must be made from."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One checkpoint on one benchmark."""

    checkpoint: str
    benchmark: str


def evaluate(recipe: Recipe, terms: Terms = WHOLE) -> StageResult:
    """Write one directory of responses a checkpoint and benchmark, `evaluate/<checkpoint>/<benchmark>/`."""
    space, terms = Workspace(recipe), terms.from_now()
    targets = {
        item: space.place(terms, directory_of(space, item), evaluate_manifest(space, item))
        for item in evaluations(recipe)
    }
    missing = [item for item in targets if not is_complete(*targets[item])]
    made: list[Evaluation] = []
    for checkpoint in dict.fromkeys(item.checkpoint for item in missing):
        due = {item: targets[item] for item in missing if item.checkpoint == checkpoint}
        made += _evaluate_checkpoint(space, checkpoint, due, terms)
    left = len(missing) - len(made)
    note = stopped_note(left, len(targets), "evaluations") if left else ""
    directories = {item: directory for item, (directory, _) in targets.items()}
    return StageResult(tuple(directories.values()), tuple(directories[item] for item in made), note)


def evaluations(recipe: Recipe) -> list[Evaluation]:
    """All checkpoints, the base first, on all benchmarks."""
    checkpoints = [BASE, *(name for names in run_names(recipe).values() for name in names)]
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
    run = _run_of(space, item.checkpoint)
    inputs = {run.directory(space): train_manifest(space, run)} if run else {}
    problems = space.problems(recipe.evaluate.benchmarks[item.benchmark])
    return space.manifest("evaluate", settings, inputs, problems)


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


def open_responder(
    rule: StopRule | None, recipe: Recipe, engine: Engine, verifier: Verifier
) -> Callable[[int, Sequence[Problem]], list[Response]]:
    """What answers a part of a benchmark; each part is sampled with a seed of its own."""
    encoder = PromptEncoder(recipe.prompt.template, engine.tokenizer)
    responder = Responder(engine, verifier, encoder, recipe.evaluate, rule)
    return lambda index, problems: responder.respond(problems, recipe.evaluate.seed * 10_007 + index)


def _evaluate_checkpoint(
    space: Workspace, checkpoint: str, targets: dict[Evaluation, Target], terms: Terms
) -> list[Evaluation]:
    """Let one checkpoint answer; returns the evaluations that are complete."""
    with open_crew(space.recipe, _files_of(space, checkpoint), terms) as crew:
        return [item for item in targets if _evaluate(space, crew, item, targets[item], terms)]


def _evaluate(space: Workspace, crew: Crew, item: Evaluation, target: Target, terms: Terms) -> bool:
    problems = space.problems(space.recipe.evaluate.benchmarks[item.benchmark])
    return write_responses(
        space, crew, problems, target, f"evaluate {item.checkpoint} {item.benchmark}", terms
    )


def write_responses(
    space: Workspace,
    crew: Crew,
    problems: Sequence[Problem],
    target: Target,
    label: str,
    terms: Terms = WHOLE,
) -> bool:
    """Let the crew's model answer; whether all responses are there."""
    parts = terms.own(parts_of(problems, space.recipe.evaluate.part_size))
    work = partial(open_responder, stop_rule(space.recipe, problems))
    with StageWriter(*target) as writer:
        if write_parts(crew, work, writer, parts, Response, label, terms):
            return False
        writer.finish(evaluate_counts(writer.directory, [index for index, _ in parts]))
    return True


def _files_of(space: Workspace, checkpoint: str) -> ModelFiles:
    return checkpoint_of(space, _run_of(space, checkpoint))


def _run_of(space: Workspace, checkpoint: str) -> Run | None:
    """The run that made a checkpoint; the base model's was none of ours."""
    for method, names in run_names(space.recipe).items():
        if checkpoint in names:
            return run_of(space, method, space.recipe.train.seeds[names.index(checkpoint)])
    return None


def evaluate_counts(directory: Path, indices: Sequence[int]) -> dict[str, float]:
    """What the stage reports of one directory, from its parts."""
    responses = [response for index in indices for response in read_part(directory, index, Response)]
    greedy = [response for response in responses if response.sample == GREEDY]
    return {
        "num_problems": len({response.problem_id for response in responses}),
        "num_responses": len(responses),
        **{f"greedy_{verdict}": sum(r.grade.verdict is verdict for r in greedy) for verdict in Verdict},
    }
