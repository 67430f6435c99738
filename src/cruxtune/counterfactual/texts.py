"""What is verified of a counterfactual."""

from typing import Any

from cruxtune.counterfactual.evidence import Task
from cruxtune.records import Branch, Completion
from cruxtune.verify.verifier import Submission


def submission_of(task: Task, branch: Branch, continuation: Completion, tokenizer: Any) -> Submission:
    """The prefix and what followed it, decoded as one text: an answer may begin in one, end in the other."""
    ids = task.solution.completion.token_ids[: branch.position] + continuation.token_ids
    return task.problem, tokenizer.decode(ids, skip_special_tokens=True), continuation.finish_reason
