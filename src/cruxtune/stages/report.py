"""Report: the numbers of a run as tables, and one page that works offline."""

import json

from cruxtune.recipe import Recipe
from cruxtune.report.content import Content
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evaluate import directory_of, evaluate_manifest, evaluations
from cruxtune.stages.facts import read_facts, read_loss_curves, read_method_shares, read_selections
from cruxtune.stages.gather import gather_manifest
from cruxtune.stages.results import baseline_of, make_rows, pass_curves, read_all_scores
from cruxtune.stages.sample import sample_manifest
from cruxtune.stages.select import select_manifest
from cruxtune.stages.shown import shown_solutions
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, forget_other, is_complete
from cruxtune.store.files import write_text


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
        write_text(page, _render(content))
        write_text(tables, results_markdown(content))
        writer.finish({}, page, tables)
    return StageResult((directory,), (directory,))


def report_manifest(space: Workspace) -> Manifest:
    """What `report/` must have been made from: every directory of the run."""
    recipe = space.recipe
    inputs = {
        space.path("solve"): solve_manifest(space),
        **({space.path("sample"): sample_manifest(space)} if recipe.sample.num_tries else {}),
        space.path("annotate"): annotate_manifest(space),
        **{space.path("gather", name): gather_manifest(space, name) for name in recipe.solutions},
        **{space.path("select", name): select_manifest(space, name) for name in recipe.select},
        **{directory_of(space, item): evaluate_manifest(space, item) for item in evaluations(recipe)},
    }
    settings = {"report": recipe.report.model_dump(mode="json"), "name": recipe.name}
    return space.manifest("report", settings, inputs)


def read_content(space: Workspace) -> Content:
    """Everything that a report shows, from the stage directories."""
    recipe = space.recipe
    scores = read_all_scores(space)
    return Content(
        title=f"Cruxtune: {recipe.name}",
        facts=read_facts(space),
        baseline=baseline_of(recipe),
        num_samples=recipe.evaluate.num_samples,
        rows=make_rows(scores, baseline_of(recipe)),
        shares=read_method_shares(space),
        pass_curves={name: pass_curves(by_method) for name, by_method in scores.items()},
        loss_curves=read_loss_curves(space),
        selections=list(read_selections(space)),
        solutions=list(shown_solutions(space)),
        recipe=json.dumps(recipe.model_dump(mode="json", exclude={"output_dir"}), indent=2),
    )


def results_markdown(content: Content) -> str:
    """All tables as Markdown."""
    from cruxtune.report.tables import markdown_table

    sections = [f"# {content.title}", *(f"- {name}: {value}" for name, value in content.facts)]
    for benchmark, rows in content.rows.items():
        table = markdown_table(rows, content.shares, content.baseline, content.num_samples)
        sections += [f"\n## {benchmark} ({rows[0].num_problems} problems, percent ± standard error)\n", table]
    return "\n".join(sections) + "\n"


def _render(content: Content) -> str:
    from cruxtune.report.page import render_page

    return render_page(content)
