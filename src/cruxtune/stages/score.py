"""Score: the numbers on response tokens that selections ask of a model: attention, log-probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, find_model, load_tokenizer
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.references import rules_behind
from cruxtune.recipe.rules import AttentionTokens, ComparedTokens, Selection
from cruxtune.recipe.teachers import find_teacher
from cruxtune.records import Solution, TokenScores
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evidence import annotated_solutions
from cruxtune.stages.workspace import StageResult, Workspace, identity_of
from cruxtune.store import Manifest, StageWriter, is_complete, parts_of, require_intact

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from cruxtune.engines.statistics import Statistic


@dataclass(frozen=True, slots=True)
class Scoring:
    """One number a token: the attention that it gets in the base model, or its log-probability in another."""

    model: str | None = None
    """None for attention in the base model."""
    revision: str | None = None

    def files(self, space: Workspace) -> ModelFiles:
        """A run of this recipe goes before a model of that name elsewhere."""
        if self.model is None:
            return space.model
        if not find_teacher(self.model, space.recipe.select, space.recipe.train):
            return find_model(self.model, self.revision)
        directory = space.path("train", self.model)
        require_intact(directory)
        return ModelFiles(self.model, directory / "model")

    def directory(self, space: Workspace) -> Path:
        """Named by the weights: the same model elsewhere is the same model."""
        weights = identity_of(self.files(space)).weights_sha256
        return space.path("score", f"logprobs-{weights[:12]}" if self.model else "attention")


def score(recipe: Recipe) -> StageResult:
    """Write `score/attention/` and `score/logprobs-<weights>/`, those that the selections ask for."""
    space = Workspace(recipe)
    scorings = {
        scoring.directory(space): scoring
        for name in recipe.select
        for scoring in scorings_behind(recipe, name)
    }
    wanted = {directory: score_manifest(space, scoring) for directory, scoring in scorings.items()}
    missing = [directory for directory in scorings if not is_complete(directory, wanted[directory])]
    if missing:
        solutions = annotated_solutions(space)
        for directory in missing:
            with StageWriter(directory, wanted[directory]) as writer:
                _write(space, scorings[directory], writer, solutions)
    return StageResult(tuple(scorings), tuple(missing))


def scorings_behind(recipe: Recipe, name: str) -> list[Scoring]:
    """What a selection needs from models."""
    found = (_scoring_of(rule) for _, rule in rules_behind(name, recipe.select))
    return list(dict.fromkeys(scoring for scoring in found if scoring))


def score_manifest(space: Workspace, scoring: Scoring) -> Manifest:
    """What a directory of scores must have been made from; raises where the models' tokens differ."""
    settings = {"model": space.numerics(), "score": {"statistic": "attention"}}
    if scoring.model:
        files = scoring.files(space)
        require_same_tokens(space, files)
        identity = identity_of(files)
        settings["score"] = {"statistic": "logprobs", "weights_sha256": identity.weights_sha256}
    return space.manifest("score", settings, inputs={space.path("annotate"): annotate_manifest(space)})


def scoring_of(rule: AttentionTokens | ComparedTokens) -> Scoring:
    """What a selection needs from a model."""
    return Scoring(rule.model, rule.revision) if isinstance(rule, ComparedTokens) else Scoring()


def require_same_tokens(space: Workspace, other: ModelFiles) -> None:
    """Refuse a model whose ids mean other tokens; a checkpoint may have its tokenizer in files of its own."""
    if not _have_same_tokens(space.model, other, space.recipe.model.trust_remote_code):
        raise ModelError(
            f"the tokenizer of {other.name} (hash {identity_of(other).tokenizer_sha256[:8]}) is not that of "
            f"{space.model.name} (hash {space.identity.tokenizer_sha256[:8]}): its token ids mean other "
            "tokens, so name a model of the same family"
        )


@cache
def _have_same_tokens(one: ModelFiles, other: ModelFiles, trust_remote_code: bool) -> bool:
    """Asked by every stage, found out once a process."""
    if identity_of(one).tokenizer_sha256 == identity_of(other).tokenizer_sha256:
        return True
    first, second = (load_tokenizer(files, trust_remote_code).get_vocab() for files in (one, other))
    return bool(first == second)


def _scoring_of(rule: Selection) -> Scoring | None:
    return scoring_of(rule) if isinstance(rule, AttentionTokens | ComparedTokens) else None


def _write(space: Workspace, scoring: Scoring, writer: StageWriter, solutions: Sequence[Solution]) -> None:
    parts = list(parts_of(solutions, space.recipe.solve.part_size))
    missing, num_done = writer.missing_parts(parts, TokenScores)
    model, statistic = _open(space, scoring)
    with progress_bar(f"score {writer.directory.name}", len(solutions), num_done) as bar:
        for index, part in missing:
            records = []
            for solution in part:
                values = statistic(model, solution.prompt_ids, solution.completion.token_ids)
                records.append(TokenScores(solution.id, values.tolist()))
                bar.advance()
            writer.write_part(index, TokenScores, records)
    writer.finish({"num_solutions": len(solutions)})


def _open(space: Workspace, scoring: Scoring) -> "tuple[PreTrainedModel, Statistic]":
    from cruxtune.engines.loading import load_model
    from cruxtune.engines.statistics import attention_received, token_logprobs

    settings = space.recipe.model
    model = load_model(
        scoring.files(space),
        dtype=settings.dtype,
        device=space.recipe.engine.device,
        attn_implementation=settings.attn_implementation if scoring.model else "eager",
        trust_remote_code=settings.trust_remote_code,
    )
    return model, token_logprobs if scoring.model else attention_received
