"""The trunk engine: what the reference engine gives, computed once where branches share it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from cruxtune.engines.engine import Continued, Decoding, Fork, Inspection, TakeFork
from cruxtune.engines.reference import ReferenceEngine, inspect_logits, room_for
from cruxtune.engines.texts import finish
from cruxtune.engines.trunk.attention import trunk_attention
from cruxtune.engines.trunk.cache import Memory
from cruxtune.engines.trunk.cohort import Cohort
from cruxtune.engines.trunk.drafts import DraftIndex
from cruxtune.engines.trunk.step import Block, BranchPass
from cruxtune.engines.trunk.stem import TrunkPass, TrunkStem, as_array
from cruxtune.records import TokenIds

COHORT = 128
LOGIT_ROWS = 1024


class TrunkEngine(ReferenceEngine):
    """Continues branches on the key-value cache of their solution, drafting from it."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        batch_size: int = 64,
        max_draft: int = 6,
        max_tokens: int = 512,
    ) -> None:
        super().__init__(model, tokenizer, batch_size)
        self._max_draft = max_draft
        self._max_tokens = max_tokens
        self._stops = np.zeros(model.get_input_embeddings().weight.shape[0], dtype=bool)
        self._stops[[i for i in self.stop_token_ids if i < len(self._stops)]] = True
        self._memory = Memory()
        self.num_forwarded = 0

    @torch.inference_mode()
    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        return self.open_stem(prompt_ids, completion_ids, top_k).inspection

    @torch.inference_mode()
    def open_stem(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> TrunkStem:
        """One forward pass over prompt and completion gives the trunk and the alternatives."""
        self._require_room(len(prompt_ids) + len(completion_ids))
        ids = torch.tensor([prompt_ids + completion_ids], device=self.model.device)
        step = TrunkPass()
        hidden = self._hidden(ids, torch.arange(ids.shape[1], device=ids.device)[None], step)
        logits = self._logits(hidden[len(prompt_ids) - 1 : -1]).float()
        return TrunkStem(
            prompt_ids,
            completion_ids,
            inspect_logits(logits, ids[0, len(prompt_ids) :], top_k),
            step.keys,
            step.values,
            DraftIndex(as_array(completion_ids), len(self._stops)),
        )

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        """Branches enter as there is room for them and leave as they end."""
        cohorts: list[Cohort] = []
        while True:
            done = self._admit(cohorts, take, decoding)
            if cohorts:
                done += self._advance(cohorts, decoding)
                cohorts = [cohort for cohort in cohorts if len(cohort)]
            elif not done:
                return
            if done:
                yield done

    def _admit(self, cohorts: list[Cohort], take: TakeFork, decoding: Decoding) -> list[Continued]:
        room = self._max_tokens - sum(len(cohort) for cohort in cohorts)
        done: list[Continued] = []
        if room < min(COHORT, self._max_tokens) // 2 and cohorts:
            return done
        by_stem: dict[int, list[Fork]] = {}
        while room > 0 and (fork := take()) is not None:
            if (
                fork.branch.token_id in self.stop_token_ids
                or room_for(fork, decoding, self.context_length) <= 0
            ):
                done.append((fork, self._completion(fork, [fork.branch.token_id], decoding)))
                continue
            by_stem.setdefault(id(fork.stem), []).append(fork)
            room -= 1
        for forks in by_stem.values():
            for start in range(0, len(forks), COHORT):
                part = forks[start : start + COHORT]
                rooms = [room_for(fork, decoding, self.context_length) for fork in part]
                cohorts.append(Cohort(part, rooms, self._max_draft, self._memory))
        return done

    @torch.inference_mode()
    def _advance(self, cohorts: Sequence[Cohort], decoding: Decoding) -> list[Continued]:
        step = BranchPass([Block(cohort, self._max_draft) for cohort in cohorts], self.model.device)
        self.num_forwarded += step.token_ids.shape[1]
        hidden = self._hidden(step.token_ids, step.positions, step)
        best = torch.cat([self._logits(part).argmax(-1) for part in hidden.split(LOGIT_ROWS)])
        before = [cohort.length for cohort in cohorts]
        step.accept(best.cpu().numpy())
        return [
            done
            for cohort, length in zip(cohorts, before, strict=True)
            for done in self._collect(cohort, length, decoding)
        ]

    def _collect(self, cohort: Cohort, before: np.ndarray, decoding: Decoding) -> list[Continued]:
        columns = before[:, None] + 1 + np.arange(int((cohort.length - before).max()))
        columns = np.minimum(columns, cohort.length[:, None])
        new = np.take_along_axis(cohort.tokens, columns, axis=1)
        has_ended = self._stops[new].any(axis=1) | (cohort.length >= cohort.room)
        done = []
        for row in np.flatnonzero(has_ended):
            ids = cohort.tokens[row, : min(cohort.length[row], cohort.room[row]) + 1].tolist()
            fork = cohort.forks[row]
            done.append((fork, self._completion(fork, ids, decoding)))
        if done:
            cohort.drop(has_ended)
        return done

    def _completion(self, fork: Fork, ids: TokenIds, decoding: Decoding):
        return finish(self.tokenizer, ids, self.stop_token_ids, decoding, fork.prefix)

    def _hidden(self, ids: Tensor, positions: Tensor, step: Any) -> Tensor:
        with trunk_attention(self.model):
            return self.model.base_model(
                input_ids=ids, position_ids=positions, use_cache=False, trunk_step=step
            ).last_hidden_state[0]

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(hidden)
