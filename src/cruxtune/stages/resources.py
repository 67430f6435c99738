"""What stages work with, made from the recipe's sections."""

import os
from collections.abc import Iterable
from typing import Any

from cruxtune.engines import Decoding, Engine
from cruxtune.models import ModelFiles
from cruxtune.problems import Columns, find_template, load_gsm8k, load_math, read_hub, read_rows, to_problems
from cruxtune.problems.synthetic import generate_problems
from cruxtune.recipe import Recipe
from cruxtune.recipe.engines import (
    ReferenceEngineSettings,
    ServerEngineSettings,
    TrunkEngineSettings,
    VllmEngineSettings,
)
from cruxtune.recipe.sections import ModelSection
from cruxtune.recipe.sources import (
    FileProblems,
    Gsm8kProblems,
    HubProblems,
    MathProblems,
    ProblemSource,
    Rows,
    SyntheticProblems,
)
from cruxtune.records import Problem
from cruxtune.verify import StopRule, Verifier


def open_engine(recipe: Recipe, files: ModelFiles, memory_share: float = 1.0) -> Engine:
    """The engine of the recipe around a model; this is where torch is first imported.

    `memory_share` is what it may take of the memory for branches: others run beside it.
    """
    match recipe.engine:
        case TrunkEngineSettings() | ReferenceEngineSettings() as settings:
            return _open_transformers(settings, files, recipe.model, memory_share)
        case VllmEngineSettings() as settings:
            return _open_vllm(settings, files, recipe.model)
        case ServerEngineSettings() as settings:
            return _open_server(settings, files, recipe.model)


def _open_transformers(
    settings: TrunkEngineSettings | ReferenceEngineSettings,
    files: ModelFiles,
    model: ModelSection,
    memory_share: float,
) -> Engine:
    from cruxtune.engines.loading import load_both
    from cruxtune.engines.reference import ReferenceEngine
    from cruxtune.engines.trunk import TrunkEngine, trunk_or_reference

    loaded, tokenizer = load_both(
        files,
        trust_remote_code=model.trust_remote_code,
        dtype=model.dtype,
        device=settings.device,
        attn_implementation=model.attn_implementation,
    )
    if isinstance(settings, ReferenceEngineSettings):
        return ReferenceEngine(loaded, tokenizer, settings.batch_size)
    return trunk_or_reference(
        TrunkEngine(
            loaded,
            tokenizer,
            settings.batch_size,
            settings.max_draft,
            settings.max_tokens,
            with_kernel=settings.kernel,
            memory_share=memory_share,
        )
    )


def _open_vllm(settings: VllmEngineSettings, files: ModelFiles, model: ModelSection) -> Engine:
    from cruxtune.engines.vllm import open_vllm

    return open_vllm(
        files,
        dtype=model.dtype,
        tensor_parallel_size=settings.tensor_parallel_size,
        speculation=settings.speculation,
        num_scored=settings.num_scored,
        options=settings.options,
        trust_remote_code=model.trust_remote_code,
    )


def _open_server(settings: ServerEngineSettings, files: ModelFiles, model: ModelSection) -> Engine:
    """`engine.model` names the recipe's own model; a checkpoint goes by its own name or directory."""
    from cruxtune.engines.client import Client
    from cruxtune.engines.server import open_server

    client = Client(
        settings.url,
        os.environ.get(settings.api_key_variable),
        settings.timeout,
        settings.num_retries,
        settings.max_connections,
    )
    return open_server(
        files,
        client,
        model=settings.model if files.name == model.name else None,
        max_connections=settings.max_connections,
        num_scored=settings.num_scored,
        trust_remote_code=model.trust_remote_code,
    )


def open_verifier(recipe: Recipe) -> Verifier:
    """The verifier of the recipe; its workers start when they are first needed."""
    return Verifier(timeout=recipe.verify.timeout, num_workers=recipe.verify.num_workers)


def verify_settings(recipe: Recipe) -> dict[str, Any]:
    """What texts and verdicts depend on."""
    return recipe.verify.model_dump(mode="json", include={"timeout", "stop_when_settled"})


def stop_rule(recipe: Recipe, problems: Iterable[Problem]) -> StopRule | None:
    """Where answers to any of the problems may end early; None where the recipe wants them whole."""
    if not recipe.verify.stop_when_settled:
        return None
    return StopRule(tuple(sorted({problem.kind for problem in problems})))


def solution_decoding(recipe: Recipe, problems: Iterable[Problem]) -> Decoding:
    """How solutions are written, and the counterfactuals of them."""
    stop = find_template(recipe.prompt.template).stop
    return Decoding(recipe.solve.max_new_tokens, stop, is_settled=stop_rule(recipe, problems))


def load_problems(source: ProblemSource) -> list[Problem]:
    """The problems that a section names, the first `num_problems` of them."""
    match source:
        case SyntheticProblems():
            return generate_problems(source.split, source.num_problems, source.seed)
        case Gsm8kProblems():
            problems = load_gsm8k(source.split, source.path)
        case MathProblems():
            problems = load_math(source.split, source.path)
        case FileProblems():
            problems = to_problems(read_rows(source.path), _columns(source), source.kind, source.path.stem)
        case HubProblems():
            rows = read_hub(source.name, source.config, source.split, source.revision)
            problems = to_problems(rows, _columns(source), source.kind, f"{source.name}/{source.split}")
    return problems[: source.num_problems]


def _columns(source: Rows) -> Columns:
    return Columns(source.question_column, source.answer_column, source.id_column, source.choices_column)
