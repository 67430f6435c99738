"""The trunk engine: what the reference engine gives, computed once where branches share it."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from cruxtune.engines.engine import Continued, Decoding, Fork, Inspection, TakeFork
from cruxtune.engines.facts import require_room
from cruxtune.engines.memory import free_bytes
from cruxtune.engines.reference import ReferenceEngine, inspect_logits
from cruxtune.engines.texts import finish
from cruxtune.engines.trunk.attention import Step, trunk_attention
from cruxtune.engines.trunk.cache import Memory
from cruxtune.engines.trunk.capacity import (
    MEMORY_SHARE,
    TooLittleMemory,
    good_number_of_tokens,
    is_out_of_memory,
)
from cruxtune.engines.trunk.compiling import kernels, suits
from cruxtune.engines.trunk.drafts import DraftIndex
from cruxtune.engines.trunk.endings import Endings
from cruxtune.engines.trunk.padded import PaddedMemory
from cruxtune.engines.trunk.paged import PagedMemory, num_pages
from cruxtune.engines.trunk.products import Products
from cruxtune.engines.trunk.run import Run
from cruxtune.engines.trunk.stem import TrunkPass, TrunkStem
from cruxtune.engines.trunk.step import BranchPass
from cruxtune.records import TokenIds


class TrunkEngine(ReferenceEngine):
    """Continues branches on the keys and values of their solution, drafting from it.

    Solving and sampling are the reference engine's.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        batch_size: int = 64,
        max_draft: int = 6,
        max_tokens: int | None = None,
        with_kernel: bool = True,
        memory_share: float = 1.0,
    ) -> None:
        super().__init__(model, tokenizer, batch_size)
        self.max_draft = max_draft
        self.max_tokens = max_tokens or good_number_of_tokens(model.device)
        self._memory_share = MEMORY_SHARE * memory_share
        is_fast = with_kernel and suits(model)
        self._kernels = kernels() if is_fast else None
        self._products = Products(model).by_onednn if is_fast else nullcontext
        self.num_forwarded = 0
        """Tokens that went through the model for branches: what drafting and sharing are measured by."""
        embedding: Any = model.get_input_embeddings()
        self.vocabulary: int = embedding.weight.shape[0]

    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        """The model's view of every token of a completion, from one forward pass."""
        return self.open_stem(prompt_ids, completion_ids, top_k).inspection

    def open_stem(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> TrunkStem:
        """One forward pass over prompt and completion gives the trunk and the alternatives."""
        require_room(len(prompt_ids) + len(completion_ids), self.context_length)
        try:
            return self._open_stem(prompt_ids, completion_ids, top_k)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TooLittleMemory(
                f"memory is too small for {len(prompt_ids) + len(completion_ids)} tokens in one pass: "
                "use a smaller dtype or model, or leave the solution out"
            ) from error

    @torch.inference_mode()
    def _open_stem(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> TrunkStem:
        ids = torch.tensor([prompt_ids + completion_ids], device=self.model.device)
        step = TrunkPass()
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        logits = self._logits(ids, positions, step, last=len(completion_ids) + 1)[:-1].float()
        inspection = inspect_logits(logits, ids[0, len(prompt_ids) :], top_k)
        drafts = DraftIndex(completion_ids, self.vocabulary)
        return TrunkStem(prompt_ids, completion_ids, inspection, step.keys, step.values, drafts)

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        """Branches enter as there is room for them and leave as they end."""
        endings = Endings(self.tokenizer, self.stop_token_ids, self.vocabulary, decoding)
        return Run(self, take, decoding, endings, partial(self._memory_for, decoding.max_new_tokens)).steps()

    def forward(self, step: BranchPass) -> Int[Tensor, " tokens"]:
        """The most probable next token after each token of a pass."""
        return self.logits(step).argmax(-1)

    def logits(self, step: BranchPass) -> Float[Tensor, "tokens vocabulary"]:
        """After each token of a pass."""
        token_ids, positions = step.inputs(self.model.device)
        self.num_forwarded += token_ids.shape[1]
        with self._products():
            return self._logits(token_ids, positions, step)

    def complete(self, fork: Fork, ids: TokenIds, decoding: Decoding) -> Continued:
        return fork, finish(self.tokenizer, ids, self.stop_token_ids, decoding, fork.prefix)

    def _memory_for(self, max_new_tokens: int, num_branches: int) -> Memory:
        """Where memory ran out before, products are torch's: oneDNN takes its own, and crashes without."""
        if num_branches < self.max_tokens:
            self._products = nullcontext
        return self.new_memory(max_new_tokens, num_branches)

    def new_memory(self, max_new_tokens: int, num_branches: int) -> Memory:
        """For the keys and values of so many branches that write no more than so many tokens."""
        limit = int(self._memory_share * free_bytes(self.model.device))
        if self._kernels is None:
            return PaddedMemory(limit)
        return PagedMemory(self._kernels, limit, num_branches * num_pages(max_new_tokens))

    def _logits(self, ids: Tensor, positions: Tensor, step: Step, last: int = 0) -> Tensor:
        """Of the `last` tokens, of all if 0."""
        with trunk_attention(self.model):
            return self.model(
                input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=last, trunk_step=step
            ).logits[0]
