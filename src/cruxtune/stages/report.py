"""Report: the numbers of a run as tables, and one page that works offline."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from cruxtune.counterfactual import Task
from cruxtune.recipe import Recipe
from cruxtune.recipe.rules import AllTokens, StrictRule
from cruxtune.records import Criticality, Response, Rollout
from cruxtune.report.content import Content, ShownAlternative, ShownSolution, ShownToken
from cruxtune.report.results import MethodRow, Scores, make_row, score
from cruxtune.select import gather_evidence, strict
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evaluate import BASE, Evaluation, directory_of, evaluate_manifest, evaluations
from cruxtune.stages.evidence import num_gaps, stored_tasks
from cruxtune.stages.select import select_manifest
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.train import Run
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import (
    Manifest,
    StageWriter,
    forget_other,
    is_complete,
    read_manifest,
    read_records,
)
from cruxtune.store.files import write_atomically


def report(recipe: Recipe) -> StageResult:
    """Write `report/report.html` and `report/results.md` from what the other stages wrote."""
    space = Workspace(recipe)
    directory, wanted = space.path("report"), report_manifest(space)
    forget_other(directory, wanted)
    if is_complete(directory, wanted):
        return StageResult((directory,), ())
    content = read_content(space)
    with StageWriter(directory, wanted) as writer:
        page, tables = directory / "report.html", directory / "results.md"
        _write(page, _render(content))
        _write(tables, results_markdown(content))
        writer.finish({}, page, tables)
    return StageResult((directory,), (directory,))


def report_manifest(space: Workspace) -> Manifest:
    """What `report/` must have been made from: every directory of the run."""
    recipe = space.recipe
    inputs = {
        space.path("solve"): solve_manifest(space),
        space.path("annotate"): annotate_manifest(space),
        **{space.path("select", name): select_manifest(space, rule) for name, rule in recipe.select.items()},
        **{directory_of(space, item): evaluate_manifest(space, item) for item in evaluations(recipe)},
    }
    settings = {"report": recipe.report.model_dump(mode="json"), "name": recipe.name}
    return space.manifest("report", settings, inputs)


def read_content(space: Workspace) -> Content:
    """Everything that a report shows, from the stage directories."""
    recipe = space.recipe
    scores = {name: read_scores(space, name) for name in recipe.evaluate.benchmarks}
    return Content(
        title=f"Cruxtune: {recipe.name}",
        facts=_facts(space),
        baseline=baseline_of(recipe),
        num_samples=recipe.evaluate.num_samples,
        rows=_rows(scores, baseline_of(recipe)),
        shares=read_shares(space),
        pass_curves={name: _pass_curves(by_method) for name, by_method in scores.items()},
        loss_curves=_loss_curves(space),
        selections=list(_selections(space)),
        solutions=list(shown_solutions(space)),
        recipe=json.dumps(recipe.model_dump(mode="json", exclude={"output_dir"}), indent=2),
    )


def baseline_of(recipe: Recipe) -> str:
    """The method that gains are measured against: as asked, else plain SFT, else the base model."""
    trained = recipe.train.selections
    return recipe.report.baseline or next(
        (name for name in trained if isinstance(recipe.select[name], AllTokens)), BASE
    )


def read_scores(space: Workspace, benchmark: str) -> dict[str, Scores]:
    """Scores of the base and of every trained method on one benchmark."""
    checkpoints: dict[str, list[str]] = {BASE: [BASE]}
    for selection in space.recipe.train.selections:
        checkpoints[selection] = [Run(selection, seed).name for seed in space.recipe.train.seeds]
    return {
        method: score([_responses(space, name, benchmark) for name in names])
        for method, names in checkpoints.items()
    }


def results_markdown(content: Content) -> str:
    """All tables as Markdown."""
    from cruxtune.report.tables import markdown_table

    sections = [f"# {content.title}", *(f"- {name}: {value}" for name, value in content.facts)]
    for benchmark, rows in content.rows.items():
        table = markdown_table(rows, content.shares, content.baseline, content.num_samples)
        sections += [f"\n## {benchmark} ({rows[0].num_problems} problems, percent ± standard error)\n", table]
    return "\n".join(sections) + "\n"


def _responses(space: Workspace, checkpoint: str, benchmark: str) -> Iterator[Response]:
    return read_records(directory_of(space, Evaluation(checkpoint, benchmark)), Response)


def read_rows(space: Workspace) -> dict[str, list[MethodRow]]:
    """The rows of every benchmark's table."""
    scores = {name: read_scores(space, name) for name in space.recipe.evaluate.benchmarks}
    return _rows(scores, baseline_of(space.recipe))


def _rows(scores: dict[str, dict[str, Scores]], baseline: str) -> dict[str, list[MethodRow]]:
    return {
        benchmark: [
            make_row(method, benchmark, own, None if method == baseline else by_method[baseline])
            for method, own in by_method.items()
        ]
        for benchmark, by_method in scores.items()
    }


def _pass_curves(by_method: dict[str, Scores]) -> dict[str, list[float]]:
    return {
        method: [float(scores.pass_at(n).mean()) for n in range(1, scores.num_samples + 1)]
        for method, scores in by_method.items()
    }


def _facts(space: Workspace) -> list[tuple[str, str]]:
    solved = read_manifest(space.path("solve")).counts
    tried = read_manifest(space.path("annotate")).counts
    identity = space.identity
    return [
        ("model", identity.name + (f" @ {identity.revision}" if identity.revision else "")),
        ("problems solved greedily", f"{solved['num_correct']:.0f} of {solved['num_problems']:.0f}"),
        ("accuracy on the training problems", f"{100 * solved['accuracy']:.1f} %"),
        ("mean length of a solution", f"{solved['mean_tokens']:.1f} tokens"),
        ("solutions annotated", _coverage(tried)),
        ("rollouts", f"{tried['num_rollouts']:,.0f} ({tried['num_rollout_tokens']:,.0f} tokens)"),
        ("critical tokens marked by", _in_words(_marking_rule(space.recipe))),
        *(
            (f"share selected by {name}", f"{100 * share:.1f} %")
            for name, share in read_shares(space).items()
        ),
    ]


def _coverage(tried: Mapping[str, float]) -> str:
    """Partial evidence is named as such."""
    covered, wanted, too_long = tried["num_solutions"], tried["num_wanted"], tried.get("num_too_long", 0)
    sample = "" if covered == wanted else f" of {wanted:,.0f} (a random sample)"
    left_out = f"; {too_long:,.0f} longer than the engine's context left out" if too_long else ""
    return f"{covered - too_long:,.0f}{sample}{left_out}"


def read_shares(space: Workspace) -> dict[str, float]:
    """The share of tokens that each selection takes."""
    return {
        name: read_manifest(space.path("select", name)).counts["share_selected"]
        for name in space.recipe.select
    }


def _selections(space: Workspace) -> Iterator[tuple[str, int, int, float]]:
    for name in space.recipe.select:
        counts = read_manifest(space.path("select", name)).counts
        yield name, int(counts["num_selected"]), int(counts["num_tokens"]), counts["weight_sum"]


def _loss_curves(space: Workspace) -> dict[str, list[float]]:
    names = [item.checkpoint for item in evaluations(space.recipe) if item.checkpoint != BASE]
    logs = {name: space.path("train", name, "log.json") for name in dict.fromkeys(names)}
    return {name: [entry["loss"] for entry in json.loads(path.read_text())] for name, path in logs.items()}


def shown_solutions(space: Workspace) -> Iterator[ShownSolution]:
    """The first annotated solutions, as the page shows them."""
    rule, has_gaps = _marking_rule(space.recipe), num_gaps(space) > 0
    for task in islice(stored_tasks(space), space.recipe.report.num_solutions):
        (evidence,) = gather_evidence([task.solution], task.rollouts, has_gaps)
        yield _shown(task, strict(evidence, rule.k, rule.min_alternative_prob))


def _in_words(rule: StrictRule) -> str:
    floor = rule.min_alternative_prob
    return f"Strict-{rule.k}" + (f" with alternatives of probability {floor:g} and more" if floor else "")


def _marking_rule(recipe: Recipe) -> StrictRule:
    """The recipe's first Strict rule; Strict-k over all of the evidence where it has none."""
    rules = [rule for rule in recipe.select.values() if isinstance(rule, StrictRule)]
    return rules[0] if rules else StrictRule(k=recipe.annotate.k)


def _shown(task: Task, criticality: list[Criticality]) -> ShownSolution:
    tokens = tuple(
        ShownToken(
            text=position.text,
            criticality=criticality[position.position],
            probability=position.probability,
            entropy=position.entropy,
            alternatives=tuple(
                _alternative(r) for r in task.rollouts if r.branch.position == position.position
            ),
        )
        for position in task.positions
    )
    return ShownSolution(task.solution.id, task.problem.question, task.problem.answer, tokens)


def _alternative(rollout: Rollout) -> ShownAlternative:
    return ShownAlternative(
        rank=rollout.branch.rank,
        text=rollout.token_text,
        probability=rollout.branch.probability,
        continuation=rollout.continuation.text,
        answer=rollout.grade.answer,
        verdict=rollout.grade.verdict,
    )


def _render(content: Content) -> str:
    from cruxtune.report.page import render_page

    return render_page(content)


def _write(path: Path, text: str) -> None:
    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    write_atomically(path, write)
