"""Score: numbers on response tokens that selections ask of a model: attention, log-probability, entropy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, find_model, load_tokenizer
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.counted import AttentionTokens, ComparedTokens, EntropyTokens, LowConfidenceTokens
from cruxtune.recipe.rules import Selection
from cruxtune.recipe.teachers import find_teacher
from cruxtune.recipe.uses import rules_behind
from cruxtune.records import Origin, Solution, TokenScores
from cruxtune.stages.solution_sets import read_set, set_inputs
from cruxtune.stages.workspace import StageResult, Workspace, identity_of
from cruxtune.store import Manifest, StageWriter, is_complete, parts_of, require_intact

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from cruxtune.engines import statistics


GREEDY = str(Origin.GREEDY)

Statistic = Literal["attention", "logprobs", "entropy"]


@dataclass(frozen=True, slots=True)
class Scoring:
    """One number a token of some solutions."""

    statistic: Statistic
    solutions: str = GREEDY
    model: str | None = None
    """None is the base model."""
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
        """Log-probabilities are named by the weights: the same model elsewhere is the same model."""
        name: str = self.statistic
        if self.statistic == "logprobs":
            name += f"-{identity_of(self.files(space)).weights_sha256[:12]}"
        return space.path("score", *([] if self.solutions == GREEDY else [self.solutions]), name)


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
        read = cache(partial(read_set, space))
        for directory in missing:
            with StageWriter(directory, wanted[directory]) as writer:
                _write(space, scorings[directory], writer, read(scorings[directory].solutions))
    return StageResult(tuple(scorings), tuple(missing))


def scorings_behind(recipe: Recipe, name: str) -> list[Scoring]:
    """What a selection needs from models."""
    found = (
        scoring
        for _, rule, sets in rules_behind(name, recipe.select)
        for one in sets
        for scoring in scorings_of(rule, one)
    )
    return list(dict.fromkeys(found))


def scorings_of(rule: Selection, solutions: str) -> list[Scoring]:
    """What a rule needs of models on one set of solutions; the base's view of greedy ones is evidence."""
    is_seen = solutions == GREEDY
    match rule:
        case AttentionTokens():
            return [Scoring("attention", solutions)]
        case EntropyTokens():
            return [] if is_seen else [Scoring("entropy", solutions)]
        case LowConfidenceTokens():
            return [] if is_seen else [Scoring("logprobs", solutions)]
        case ComparedTokens():
            own = [] if is_seen else [Scoring("logprobs", solutions)]
            return [Scoring("logprobs", solutions, rule.model, rule.revision), *own]
    return []


def score_manifest(space: Workspace, scoring: Scoring) -> Manifest:
    """What a directory of scores must have been made from; raises where the models' tokens differ."""
    settings: dict[str, Any] = {"model": space.numerics(), "score": {"statistic": scoring.statistic}}
    if scoring.statistic == "logprobs":
        files = scoring.files(space)
        require_same_tokens(space, files)
        settings["score"]["weights_sha256"] = identity_of(files).weights_sha256
    return space.manifest("score", settings, set_inputs(space, [scoring.solutions]))


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


def _write(space: Workspace, scoring: Scoring, writer: StageWriter, solutions: Sequence[Solution]) -> None:
    parts = list(parts_of(solutions, space.recipe.solve.part_size))
    missing, num_done = writer.missing_parts(parts, TokenScores)
    model, statistic = _open(space, scoring)
    with progress_bar(
        f"score {space.name_of(writer.directory)}".replace("score/", ""), len(solutions), num_done
    ) as bar:
        for index, part in missing:
            records = []
            for solution in part:
                values = statistic(model, solution.prompt_ids, solution.completion.token_ids)
                records.append(TokenScores(solution.id, values.tolist()))
                bar.advance()
            writer.write_part(index, TokenScores, records)
    writer.finish({"num_solutions": len(solutions)})


def _open(space: Workspace, scoring: Scoring) -> "tuple[PreTrainedModel, statistics.Statistic]":
    from cruxtune.engines.loading import load_model
    from cruxtune.engines.statistics import attention_received, token_entropies, token_logprobs

    settings = space.recipe.model
    model = load_model(
        scoring.files(space),
        dtype=settings.dtype,
        device=space.recipe.engine.device,
        attn_implementation="eager" if scoring.statistic == "attention" else settings.attn_implementation,
        trust_remote_code=settings.trust_remote_code,
    )
    measures: dict[str, statistics.Statistic] = {
        "attention": attention_received,
        "logprobs": token_logprobs,
        "entropy": token_entropies,
    }
    return model, measures[scoring.statistic]
