"""Responses that others wrote, and how they become token ids of this model after its own prompt."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cruxtune.engines.facts import read_facts
from cruxtune.errors import ArtifactError, ProblemError
from cruxtune.problems import PromptEncoder, read_rows
from cruxtune.recipe.sources import FileSolutions
from cruxtune.records import Completion, FinishReason, Problem, TokenIds
from cruxtune.select import text_of, token_bytes
from cruxtune.stages.other_run import OtherRun
from cruxtune.stages.workspace import Workspace
from cruxtune.store import ModelIdentity

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Response:
    """What another wrote on one of the recipe's problems."""

    id: str
    problem: Problem
    text: str
    finish_reason: FinishReason = FinishReason.STOP
    token_ids: TokenIds | None = None
    """Where they mean the same tokens here; they are then taken as they are."""


def read_file(source: FileSolutions, problems: Sequence[Problem], name: str) -> list[Response]:
    """The responses in a file, one a row; each is whole, so that a stop token belongs after it."""
    by_id = {problem.id: problem for problem in problems}
    by_question = {problem.question.strip(): problem for problem in problems}
    responses = []
    for number, row in enumerate(read_rows(source.path), 1):
        where = f"{source.path}, row {number}"
        key, text = (_cell(row, column, where) for column in (source.problem_column, source.response_column))
        problem = by_id.get(key) or by_question.get(key.strip())
        if problem is None:
            raise ProblemError(
                f"{where}: {key[:60]!r} is neither the id nor the question of one of the recipe's problems "
                f"(the first is {problems[0].id!r}): name the right column with problem_column, or take "
                "other [problems]"
            )
        responses.append(Response(f"{problem.id}#{name}-{number}", problem, text))
    if not responses:
        raise ProblemError(f"{source.path} holds no responses")
    return responses


def read_run(
    other: OtherRun, problems: Sequence[Problem], name: str, tokenizer: Any, identity: ModelIdentity
) -> list[Response]:
    """The right solutions of another run, with their token ids where these are this model's too."""
    by_id = {problem.id: problem for problem in problems}
    theirs = {problem.id: problem for problem in other.problems()}
    is_same = other.has_same_tokens(tokenizer, identity)
    responses = []
    for solution in other.solutions():
        problem, id = by_id.get(solution.problem_id), other.id_here(solution.id, name)
        _require_same_problem(other, theirs[solution.problem_id], problem)
        assert problem is not None
        ids, reason = solution.completion.token_ids, solution.completion.finish_reason
        text = solution.completion.text if is_same else text_of(token_bytes(other.tokenizer, ids))
        responses.append(Response(id, problem, text, reason, ids if is_same else None))
    return responses


class Encoder:
    """Responses as prompt and completion of this model."""

    def __init__(self, space: Workspace, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._prompts = PromptEncoder(space.recipe.prompt.template, tokenizer)
        facts = read_facts(space.model, tokenizer, space.recipe.model.trust_remote_code)
        self._context_length = facts.context_length
        own_stop = tokenizer.eos_token_id
        self._stop_id = own_stop if own_stop in facts.stop_token_ids else min(facts.stop_token_ids)

    def encode(self, response: Response) -> tuple[TokenIds, Completion] | None:
        """Prompt and completion; None, with a warning, where this model can't hold or write it."""
        prompt = self._prompts.encode(response.problem)
        completion = self._completion(response, prompt)
        if completion is None:
            logger.warning("%s can't be written with the model's tokenizer and is left out", response.id)
        elif len(prompt) + len(completion.token_ids) > self._context_length:
            logger.warning("%s is longer than the model's context and is left out", response.id)
        else:
            return prompt, completion
        return None

    def _completion(self, response: Response, prompt: TokenIds) -> Completion | None:
        if response.token_ids is not None:
            return Completion(response.token_ids, response.text, response.finish_reason)
        text = joined_text(self.tokenizer.decode(prompt), response.text)
        ids = encode_exactly(self.tokenizer, text)
        if ids is None:
            return None
        stop = [self._stop_id] if response.finish_reason is FinishReason.STOP else []
        return Completion([*ids, *stop], text, response.finish_reason)


def joined_text(prompt: str, response: str) -> str:
    """The response as it follows a prompt: after one space, but none where the prompt ends with space."""
    return response.lstrip(" ") if prompt[-1:].isspace() else f" {response.lstrip(' ')}"


def encode_exactly(tokenizer: Any, text: str) -> TokenIds | None:
    """Token ids that write just this text; None where the tokenizer has none.

    A tokenizer that puts a space of its own before every text gets the text without its first one.
    """
    for candidate in dict.fromkeys((text, text.removeprefix(" "))):
        ids = list(tokenizer(candidate, add_special_tokens=False).input_ids)
        if text_of(token_bytes(tokenizer, ids)) == text:
            return ids
    return None


def _cell(row: Mapping[str, Any], column: str, where: str) -> str:
    if column not in row:
        role = "problem_column or response_column"
        raise ProblemError(
            f"{where}: there is no column {column!r}, only {', '.join(map(repr, row))}: name the right one "
            f"with {role}"
        )
    text = row[column]
    if not isinstance(text, str) or not text.strip():
        raise ProblemError(f"{where}: the column {column!r} holds no text")
    return text


def _require_same_problem(other: OtherRun, theirs: Problem, ours: Problem | None) -> None:
    if ours is None or (ours.question, ours.answer) != (theirs.question, theirs.answer):
        which = "is none of this recipe's problems" if ours is None else "is another problem in this recipe"
        raise ArtifactError(
            f"{other.path} solves {theirs.id}, which {which}: let both runs have the same [problems]"
        )
