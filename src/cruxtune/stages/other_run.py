"""Another model's run: its solutions, and what was found out of their tokens (CFT paper, section 5.2)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cruxtune.errors import ArtifactError, SelectionError
from cruxtune.models import ModelFiles, find_model, load_tokenizer
from cruxtune.recipe.sources import RunSolutions
from cruxtune.records import Position, Problem, Rollout, Solution, TokenWeights, Verdict
from cruxtune.select import Coverage, Evidence, gather_evidence, token_bytes, transfer
from cruxtune.store import Manifest, ModelIdentity, read_column, read_manifest, read_records


class OtherRun:
    """The output directory of a run whose recipe is not at hand."""

    def __init__(self, source: RunSolutions) -> None:
        self.path = source.path
        self._source = source

    def digests(self) -> dict[str, Any]:
        """What its solutions depend on."""
        solve = read_manifest(self.path / "solve")
        annotate = read_manifest(self.path / "annotate").digest if self.has_evidence else None
        return {"solve": solve.digest, "annotate": annotate, "tokenizer": solve.model.tokenizer_sha256}

    def digest_of(self, selection: str) -> str:
        """Of the weights that one of its selections gave."""
        return read_manifest(self._select(selection)).digest

    @property
    def has_evidence(self) -> bool:
        return Manifest.read(self.path / "annotate") is not None

    def problems(self) -> Iterator[Problem]:
        return read_records(self.path / "solve", Problem)

    def solutions(self) -> list[Solution]:
        """The right ones; those with evidence where it was annotated."""
        return list(self._solutions.values())

    def id_here(self, id: str, name: str) -> str:
        """What one of its solutions is called in the set of that name."""
        return f"{id}#{name}"

    @cached_property
    def tokenizer(self) -> Any:
        """Of its model; raises where that has changed."""
        files, recorded = self._files, self._identity
        if files.identity().tokenizer_sha256 != recorded.tokenizer_sha256:
            raise ArtifactError(
                f"{self.path} was made with another tokenizer than that of {files.name}: say under "
                "[solutions] where its model is, with `model`"
            )
        return load_tokenizer(files)

    def has_same_tokens(self, tokenizer: Any, identity: ModelIdentity) -> bool:
        """Whether the ids in its solutions mean the same tokens for this model."""
        if self._identity.tokenizer_sha256 == identity.tokenizer_sha256:
            return True
        used = sorted({id for solution in self.solutions() for id in solution.completion.token_ids})
        if used and used[-1] >= len(tokenizer):
            return False
        own, theirs = (each.convert_ids_to_tokens(used) for each in (tokenizer, self.tokenizer))
        return bool(own == theirs)

    def evidence(self, solutions: Sequence[Solution], name: str) -> list[Evidence]:
        """What it found out of solutions that were taken over with their token ids."""
        if not self.has_evidence:
            raise SelectionError(
                f"{self.path} has no annotate/: run `annotate` there, or take type = 'score' for the "
                f"{name} solutions"
            )
        for solution in solutions:
            if solution.completion.token_ids != self._own(solution, name).completion.token_ids:
                raise SelectionError(
                    f"the tokenizer of {self._identity.name} is another one, so that its evidence says "
                    f"nothing of these tokens: for the {name} solutions take type = 'transferred', which "
                    "goes by characters, or 'score'"
                )
        rollouts = read_records(self.path / "annotate", Rollout)
        here = (replace(r, solution_id=self.id_here(r.solution_id, name)) for r in rollouts)
        return gather_evidence(solutions, here)

    def weights(
        self, selection: str, solutions: Sequence[Solution], name: str, pieces: Sequence[Sequence[bytes]]
    ) -> tuple[list[list[float]], Coverage | None]:
        """What its selection makes of solutions that were taken over; by character where tokens differ."""
        rows = read_records(self._select(selection), TokenWeights)
        given = {self.id_here(row.solution_id, name): row.loss_weights for row in rows}
        found: list[list[float]] = []
        coverage: Coverage | None = None
        for solution, target in zip(solutions, pieces, strict=True):
            own, weights = self._own(solution, name), given.get(solution.id)
            if weights is None:
                raise SelectionError(f"{self._select(selection)} has no weights for {solution.id}")
            if own.completion.token_ids == solution.completion.token_ids:
                found.append(weights)
                continue
            row, covered = transfer(token_bytes(self.tokenizer, own.completion.token_ids), weights, target)
            found.append(row)
            coverage = (coverage or Coverage()) + covered
        return found, coverage

    @cached_property
    def _solutions(self) -> dict[str, Solution]:
        right = {
            s.id: s for s in read_records(self.path / "solve", Solution) if s.grade.verdict is Verdict.CORRECT
        }
        if self.has_evidence:
            annotated = set(read_column(self.path / "annotate", Position, "solution_id"))
            right = {id: solution for id, solution in right.items() if id in annotated}
        if not right:
            raise ArtifactError(f"{self.path} has no right solutions")
        return right

    def _own(self, solution: Solution, name: str) -> Solution:
        """The solution there that was taken over as this one."""
        return self._solutions[solution.id.removesuffix(f"#{name}")]

    def _select(self, selection: str) -> Path:
        return self.path / "select" / selection

    @property
    def _identity(self) -> ModelIdentity:
        return read_manifest(self.path / "solve").model

    @cached_property
    def _files(self) -> ModelFiles:
        recorded = self._identity
        if self._source.model:
            return find_model(self._source.model, self._source.revision)
        return find_model(recorded.name, recorded.revision)
