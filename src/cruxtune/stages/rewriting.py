"""What selections weigh: solutions as they are, or as `<Thinking>…</Thinking><Answer>…</Answer>` (SFTKey)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from cruxtune.errors import SelectionError
from cruxtune.models import load_tokenizer
from cruxtune.recipe.rules import TaggedTokens
from cruxtune.records import Completion, Solution, TokenIds
from cruxtune.stages.evidence import annotated_solutions
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_records

THINKING = "<Thinking>{}</Thinking>"
ANSWER = "<Answer>{}</Answer>"


class Texts:
    """What the weights of selections belong to, read when it is first asked for."""

    def __init__(self, space: Workspace) -> None:
        self._space = space

    def of(self, selection: str) -> list[Solution]:
        """The annotated solutions, or what `select` made of them for this selection."""
        if isinstance(self._space.recipe.select[selection], TaggedTokens):
            return list(read_records(self._space.path("select", selection), Solution))
        return self._annotated

    @cached_property
    def _annotated(self) -> list[Solution]:
        return annotated_solutions(self._space)


def rewrite(space: Workspace, solutions: Sequence[Solution]) -> list[Solution]:
    """The solutions with tags, in the base model's tokens."""
    tokenizer = load_tokenizer(space.model, space.recipe.model.trust_remote_code)
    return [with_tags(solution, tokenizer) for solution in solutions]


def with_tags(solution: Solution, tokenizer: Any) -> Solution:
    """All that the solution says as the thinking, then the answer that was verified, then its stop token."""
    completion = solution.completion
    body = completion.text.strip()
    before = completion.text[: len(completion.text) - len(completion.text.lstrip())]
    parts = (before + THINKING.format(body), ANSWER.format(solution.grade.answer))
    ids = [id for part in parts for id in _encode(tokenizer, part)]  # no token has a share in both parts
    ids += completion.token_ids[-1:] if completion.has_stopped else []
    return replace(solution, completion=Completion(ids, "".join(parts), completion.finish_reason))


def _encode(tokenizer: Any, text: str) -> TokenIds:
    ids: TokenIds = tokenizer(text, add_special_tokens=False).input_ids
    if (back := tokenizer.decode(ids, clean_up_tokenization_spaces=False)).split() != text.split():
        raise SelectionError(
            f"the tokenizer can't write {text[:40]!r}…, it makes {back[:40]!r}… of it: this model can't be "
            "trained on tags"
        )
    return ids
