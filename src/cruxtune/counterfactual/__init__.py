"""The counterfactual test of solutions (CFT paper, eq. 5-7)."""

from cruxtune.counterfactual.agenda import is_finished
from cruxtune.counterfactual.alternatives import alternatives, branches_of
from cruxtune.counterfactual.annotator import Annotator
from cruxtune.counterfactual.evidence import Evidence, Task
from cruxtune.counterfactual.texts import submission_of

__all__ = [
    "Annotator",
    "Evidence",
    "Task",
    "alternatives",
    "branches_of",
    "is_finished",
    "submission_of",
]
