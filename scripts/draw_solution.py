"""Draw one annotated solution of a run as an SVG picture.

Run `python scripts/draw_solution.py RECIPE NUMBER OUTPUT.svg` where the run's directory is.
"""

import sys
from pathlib import Path

from cruxtune.recipe import load_recipe
from cruxtune.report.svg import solution_svg
from cruxtune.stages.shown import shown_solutions
from cruxtune.stages.workspace import Workspace


def main(recipe: str, number: int, output: Path) -> None:
    """Write the picture of the solution with that number, counted from 0."""
    space = Workspace(load_recipe(recipe, [f"report.num_solutions={number + 1}"]))
    *_, solution = shown_solutions(space)
    output.write_text(solution_svg(solution), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
