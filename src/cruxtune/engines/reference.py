"""The reference engine: transformers' own `generate`, plain and slow. It defines what is right.

Rows of a batch are padded on the left; the paper's batched scheme (eq. 7) is `continue_forks`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from cruxtune.engines.engine import Continued, Decoding, Fork, Inspection, Stem, TakeFork
from cruxtune.engines.facts import context_length_of, require_room
from cruxtune.engines.loading import stop_token_ids
from cruxtune.engines.sampling import drawing_by_row
from cruxtune.engines.stopping import stopping_criteria
from cruxtune.engines.texts import finish
from cruxtune.records import Completion, FinishReason, TokenIds


class ReferenceEngine:
    """Any causal language model of transformers, one padded batch at a time."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any, batch_size: int = 64) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.stop_token_ids = stop_token_ids(model, tokenizer)
        self.batch_size = batch_size
        self.context_length = context_length_of(model.config.get_text_config())
        self._pad_id = min(self.stop_token_ids) if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def generate(
        self, prompts: Sequence[TokenIds], decoding: Decoding, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """One completion a prompt, in their order; a prompt that fills the context gets an empty one."""
        completions: dict[int, Completion] = {}
        for number, batch in enumerate(self._batches(prompts, decoding)):
            own = None if seeds is None else [seeds[index] for index in batch]
            rows = self._generate_batch([prompts[index] for index in batch], decoding, number, seeds=own)
            for index, ids in zip(batch, rows, strict=True):
                completions[index] = finish(self.tokenizer, ids, self.stop_token_ids, decoding)
        empty = Completion([], "", FinishReason.LENGTH)
        return [completions.get(index, empty) for index in range(len(prompts))]

    @torch.inference_mode()
    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        """The model's view of every token of a completion, from one forward pass."""
        require_room(len(prompt_ids) + len(completion_ids), self.context_length)
        ids = torch.tensor([prompt_ids + completion_ids], device=self.model.device)
        logits = self.model(ids, use_cache=False).logits[0, len(prompt_ids) - 1 : -1].float()
        return inspect_logits(logits, ids[0, len(prompt_ids) :], top_k)

    def open_stem(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Stem:
        """The completion and the model's view of it; nothing else is kept."""
        return Stem(prompt_ids, completion_ids, self.inspect(prompt_ids, completion_ids, top_k))

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        """Each branch's own token and its greedy continuation, one padded batch after the other."""
        while forks := list(islice(iter(take, None), self.batch_size)):
            yield [
                done
                for batch in self._batches_of_forks(forks, decoding)
                for done in self._continue_batch(batch, decoding)
            ]

    def _batches_of_forks(self, forks: Sequence[Fork], decoding: Decoding) -> Iterator[Sequence[Fork]]:
        """One that the context leaves less room than asked goes alone."""
        limit = self.context_length - decoding.max_new_tokens
        roomy = [fork for fork in forks if len(fork.stem.prompt_ids) <= limit]
        yield from self._in_batches(roomy)
        crowded = [fork for fork in forks if len(fork.stem.prompt_ids) > limit]
        yield from self._in_batches(crowded, is_crowded=True)

    def _continue_batch(self, forks: Sequence[Fork], decoding: Decoding) -> list[Continued]:
        ended = [fork for fork in forks if fork.branch.token_id in self.stop_token_ids]
        going = [fork for fork in forks if fork.branch.token_id not in self.stop_token_ids]
        rows = self._continue(going, decoding) if going else []
        return [
            (
                fork,
                finish(
                    self.tokenizer, [fork.branch.token_id, *ids], self.stop_token_ids, decoding, fork.prefix
                ),
            )
            for fork, ids in [*((fork, []) for fork in ended), *zip(going, rows, strict=True)]
        ]

    def _continue(self, forks: Sequence[Fork], decoding: Decoding) -> list[TokenIds]:
        prefixes = [[*fork.prefix, fork.branch.token_id] for fork in forks]
        prompts = [fork.stem.prompt_ids + prefix for fork, prefix in zip(forks, prefixes, strict=True)]
        limits = [fork.room(decoding, self.context_length) for fork in forks]
        longest = max(limits)
        if longest <= 0:
            return [[] for _ in forks]
        rows = self._generate_batch(prompts, replace(decoding, max_new_tokens=longest), 0, prefixes)
        return [ids[: max(limit, 0)] for ids, limit in zip(rows, limits, strict=True)]

    def _batches(self, prompts: Sequence[TokenIds], decoding: Decoding) -> Iterator[Sequence[int]]:
        """Indices of prompts of like length; one that the context leaves less room than asked goes alone."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        limit = self.context_length - decoding.max_new_tokens
        yield from self._in_batches([index for index in order if len(prompts[index]) <= limit])
        crowded = [index for index in order if limit < len(prompts[index]) < self.context_length]
        yield from self._in_batches(crowded, is_crowded=True)

    def _in_batches(self, items: Sequence[Any], is_crowded: bool = False) -> Iterator[Sequence[Any]]:
        size = 1 if is_crowded else self.batch_size
        return (items[start : start + size] for start in range(0, len(items), size))

    @torch.inference_mode()
    def _generate_batch(
        self,
        prompts: Sequence[TokenIds],
        decoding: Decoding,
        batch_number: int,
        prefixes: Sequence[TokenIds] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[TokenIds]:
        width = max(len(prompt) for prompt in prompts)
        input_ids = torch.tensor([[self._pad_id] * (width - len(p)) + list(p) for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        choice = None if seeds is None else drawing_by_row(seeds, decoding.temperature, self.model.device)
        with torch.random.fork_rng(enabled=not decoding.is_greedy):
            if not decoding.is_greedy:
                torch.manual_seed((decoding.seed * 1_000_003 + batch_number) % 2**63)
            output = self.model.generate(  # type: ignore[operator]
                input_ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=self._config(
                    replace(decoding, temperature=0.0) if choice else decoding, width
                ),
                logits_processor=choice,
                stopping_criteria=stopping_criteria(self.tokenizer, decoding, prefixes),
            )
        return output[:, width:].tolist()

    def _config(self, decoding: Decoding, width: int) -> GenerationConfig:
        """Only what is said here: a model's own sampling defaults must not change the result."""
        room = self.context_length - width
        return GenerationConfig(
            max_new_tokens=min(decoding.max_new_tokens, room),
            do_sample=not decoding.is_greedy,
            temperature=None if decoding.is_greedy else decoding.temperature,
            top_k=None if decoding.is_greedy else 0,
            top_p=None if decoding.is_greedy else 1.0,
            eos_token_id=sorted(self.stop_token_ids),
            pad_token_id=self._pad_id,
        )


def inspect_logits(logits: Float[Tensor, "completion vocab"], token_ids: Tensor, top_k: int) -> Inspection:
    """Probabilities, entropies and margins from the logits that predict each token."""
    logprobs = logits.log_softmax(-1)
    top_k = min(top_k, logits.shape[-1])
    top = logits.topk(max(top_k, 2), dim=-1)
    return Inspection(
        top_ids=top.indices[:, :top_k].cpu().numpy(),
        top_probs=logprobs.gather(1, top.indices[:, :top_k]).exp().cpu().numpy(),
        token_probs=logprobs.gather(1, token_ids[:, None])[:, 0].exp().cpu().numpy(),
        entropies=-(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1).cpu().numpy(),
        margins=(top.values[:, 0] - top.values[:, 1]).cpu().numpy().astype(np.float32),
    )
