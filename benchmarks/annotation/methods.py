"""The ways to annotate that are compared."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel

from annotation.job import Job
from annotation.meter import Meter
from cruxtune.engines import Continued, Decoding, Engine, Fork, Stem, TakeFork
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.engines.trunk import TrunkEngine
from cruxtune.records import TokenIds

METHODS = {
    "alone": "one branch at a time (`generate`)",
    "batched": "the paper's batched scheme (`generate`, left-padded)",
    "batches": "the same in batches of 64 (`reference`)",
    "vllm": "vLLM, prefix caching",
    "no-drafts": "`trunk`, no drafts",
    "padded": "`trunk`, no kernel of its own",
    "trunk": "`trunk`",
    "lazy": "`trunk`, lazy k",
    "workers": "`trunk`, a process a core",
    "lazy-workers": "`trunk`, lazy k, a process a core",
}
GROUPS = {
    "all": tuple(METHODS),
    "plain": ("alone", "batched", "batches"),
    "ours": ("no-drafts", "padded", "trunk", "lazy", "workers", "lazy-workers"),
    "quick": ("batches", "no-drafts", "padded", "trunk", "lazy"),
}


def methods_named(names: Iterable[str]) -> list[str]:
    """The methods of names and groups, each once.

    >>> methods_named(["ours", "batched", "trunk"])
    ['batched', 'no-drafts', 'padded', 'trunk', 'lazy', 'workers', 'lazy-workers']
    """
    wanted = {method for name in names for method in GROUPS.get(name, (name,))}
    return [method for method in METHODS if method in wanted]


class Plain(ReferenceEngine):
    """Bare `generate`, which stops at stop tokens only: texts are looked at when it is done."""

    def _generate_batch(
        self,
        prompts: Sequence[TokenIds],
        decoding: Decoding,
        batch_number: int,
        prefixes: Sequence[TokenIds] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[TokenIds]:
        bare = replace(decoding, stop=(), is_settled=None)
        return super()._generate_batch(prompts, bare, batch_number, prefixes, seeds)


class BatchedScheme(Plain):
    """All positions of one solution for a fixed rank in one padded batch (eq. 7)."""

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        groups: dict[tuple[Stem, int], list[Fork]] = {}
        for fork in iter(take, None):
            groups.setdefault((fork.stem, fork.branch.rank), []).append(fork)
        for forks in groups.values():
            yield self._continue_batch(forks, decoding)


class Sampled(Plain):
    """Some branches, each alone, evenly spread over solutions, ranks and positions; others are dropped."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any, job: Job, meter: Meter) -> None:
        super().__init__(model, tokenizer, batch_size=1)
        self._share = min(job.sample, job.num_branches), job.num_branches
        self._meter = meter

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        """Each is on the meter until its verdict is there: then the next one is asked for."""
        for number, fork in enumerate(iter(take, None)):
            if is_chosen(number, *self._share):
                with self._meter.reading():
                    yield self._continue_batch([fork], decoding)
            else:
                self._meter.num_dropped += 1


def is_chosen(number: int, num_chosen: int, num_all: int) -> bool:
    """Whether one of a row of things is among those that are spread evenly over it.

    >>> [number for number in range(10) if is_chosen(number, 3, 10)]
    [3, 6, 9]
    """
    return (number + 1) * num_chosen // num_all > number * num_chosen // num_all


def make_engine(job: Job, model: PreTrainedModel, tokenizer: Any, meter: Meter) -> Engine:
    match job.method:
        case "alone":
            return Sampled(model, tokenizer, job, meter)
        case "batched":
            return BatchedScheme(model, tokenizer)
        case "batches":
            return Plain(model, tokenizer, batch_size=64)
        case method:
            return TrunkEngine(
                model,
                tokenizer,
                max_draft=0 if method == "no-drafts" else 6,
                max_tokens=job.engine_tokens,
                with_kernel=method != "padded",
            )
