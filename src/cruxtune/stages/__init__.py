"""The verbs: each reads the directories of the stages before it and writes its own.

>>> from cruxtune.recipe import load_recipe
>>> from cruxtune.stages import annotate, solve
>>> recipe = load_recipe("tiny", ["output_dir=/tmp/tiny"])
>>> solve(recipe), annotate(recipe)  # doctest: +SKIP
"""

from cruxtune.stages.annotate import annotate
from cruxtune.stages.evaluate import evaluate
from cruxtune.stages.gather import gather
from cruxtune.stages.lint import lint
from cruxtune.stages.plan import plan
from cruxtune.stages.recheck import recheck
from cruxtune.stages.relabel import relabel
from cruxtune.stages.report import report
from cruxtune.stages.sample import sample
from cruxtune.stages.score import score
from cruxtune.stages.select import select
from cruxtune.stages.show import show
from cruxtune.stages.solve import solve
from cruxtune.stages.sweep import sweep
from cruxtune.stages.train import train

__all__ = [
    "annotate",
    "evaluate",
    "gather",
    "lint",
    "plan",
    "recheck",
    "relabel",
    "report",
    "sample",
    "score",
    "select",
    "show",
    "solve",
    "sweep",
    "train",
]
