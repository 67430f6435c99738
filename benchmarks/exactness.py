"""Every branch of many solutions of the tiny model, by the trunk engine and by the reference engine.

    python benchmarks/exactness.py --solutions 200

Prints each branch that differs with the margin between the two best logits at the first different token.
Where one is too wide for rounding to have decided, the exit code is 1.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time

import torch

from cruxtune.counterfactual import alternatives
from cruxtune.engines import Decoding, Fork, Stem
from cruxtune.engines.loading import load_both
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.engines.trunk import TrunkEngine
from cruxtune.models import find_model
from cruxtune.problems import PromptEncoder
from cruxtune.problems.synthetic import generate_problems
from cruxtune.progress import progress_bar
from cruxtune.records import Branch, Completion, TokenIds

K = 3
NEAR_TIE = 1e-3
"""Margins up to this one are rounding's to decide, in float32."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--solutions", type=int, default=200)
    parser.add_argument("--limit", type=int, default=160, help="of solutions and rollouts, in tokens")
    arguments = parser.parse_args()
    model, tokenizer = load_both(find_model("tiny", None), trust_remote_code=False)
    reference = ReferenceEngine(model, tokenizer, batch_size=64)
    trunk = TrunkEngine(model, tokenizer)
    encoder = PromptEncoder("cot", tokenizer)
    decoding = Decoding(arguments.limit, encoder.stop)
    prompts = [encoder.encode(p) for p in generate_problems("train", arguments.solutions)]
    completions = [done.token_ids for done in reference.generate(prompts, decoding)]
    texts = list(zip(prompts, completions, strict=True))
    expected = continue_all(reference, texts, decoding, "reference")
    found = continue_all(trunk, texts, decoding, "trunk")
    ties = [
        margin_of(reference, *texts[number], branch, expected[number, branch], found[number, branch])
        for number, branch in expected
        if expected[number, branch] != found[number, branch]
    ]
    print(f"{len(expected):,} branches of {len(texts)} solutions, {len(ties)} differ")
    for margin in ties:
        print(f"  where the two best logits are {margin:.2g} apart")
    if any(margin > NEAR_TIE for margin in ties):
        raise SystemExit("branches differ that are no near-ties")


def continue_all(
    engine: ReferenceEngine, texts: list[tuple[TokenIds, TokenIds]], decoding: Decoding, label: str
) -> dict[tuple[int, Branch], Completion]:
    """What becomes of every branch, by the number of its text."""
    stems: dict[Stem, int] = {}
    forks: list[Fork] = []
    for number, (prompt, ids) in enumerate(texts):
        stem = engine.open_stem(prompt, ids, K)
        stems[stem] = number
        forks += [Fork(stem, branch) for branch in alternatives(stem.inspection, ids, K)]
    found: dict[tuple[int, Branch], Completion] = {}
    waiting, began = iter(forks), time.perf_counter()
    with progress_bar(label, len(forks)) as bar:
        for batch in engine.continue_forks(lambda: next(waiting, None), decoding):
            found |= {(stems[fork.stem], fork.branch): completion for fork, completion in batch}
            bar.advance(len(batch))
    print(f"{label}: {time.perf_counter() - began:.0f} s")
    return found


@torch.inference_mode()
def margin_of(
    engine: ReferenceEngine,
    prompt: TokenIds,
    ids: TokenIds,
    branch: Branch,
    one: Completion,
    other: Completion,
) -> float:
    """First logit minus second where two continuations part."""
    pairs = enumerate(zip(one.token_ids, other.token_ids, strict=False))
    same = next(n for n, (a, b) in pairs if a != b)
    text = prompt + ids[: branch.position] + one.token_ids[:same]
    best = engine.model(torch.tensor([text]), use_cache=False).logits[0, -1].topk(2).values
    return float(best[0] - best[1])


if __name__ == "__main__":
    main()
