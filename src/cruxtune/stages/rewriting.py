"""What selections weigh: solutions as they are, or as `<Thinking>…</Thinking><Answer>…</Answer>` (SFTKey)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cruxtune.errors import SelectionError
from cruxtune.models import load_tokenizer
from cruxtune.recipe.rules import TaggedTokens
from cruxtune.recipe.uses import sets_of
from cruxtune.records import Completion, Solution, TokenIds
from cruxtune.stages.solution_sets import read_set
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_records

THINKING = "<Thinking>{}</Thinking>"
ANSWER = "<Answer>{}</Answer>"


class Texts:
    """What the weights of selections belong to; each set of solutions is read once."""

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._sets: dict[str, list[Solution]] = {}

    def of(self, selection: str) -> list[Solution]:
        """The solutions of a selection, or what `select` made of them for it."""
        rules = self._space.recipe.select
        if isinstance(rules[selection], TaggedTokens):
            return list(read_records(self._space.path("select", selection), Solution))
        return [solution for name in sets_of(selection, rules) for solution in self.in_set(name)]

    def in_set(self, name: str) -> list[Solution]:
        """The solutions of one set, as they are."""
        if name not in self._sets:
            self._sets[name] = read_set(self._space, name)
        return self._sets[name]


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
