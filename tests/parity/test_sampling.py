"""Sampling with a seed a prompt: no text depends on its neighbours, and tokens come in proportion."""

import pytest
import torch

from cruxtune.engines import Decoding
from cruxtune.engines.loading import load_both
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.models import find_model

PROMPTS = [[65, 66, 67], [70], [65, 66, 67], [80, 81], [65, 66, 67, 68, 69]]
SEEDS = [11, 12, 13, 14, 11]


@pytest.fixture(scope="module")
def engine(tiny_files):
    model, tokenizer = load_both(
        find_model(str(tiny_files)), trust_remote_code=False, dtype="float32", device="cpu"
    )
    return ReferenceEngine(model, tokenizer, batch_size=4)


def test_a_text_depends_on_its_own_seed_alone(engine):
    decoding = Decoding(12, temperature=1.0)
    together = engine.generate(PROMPTS, decoding, SEEDS)
    alone = [engine.generate([p], decoding, [s])[0] for p, s in zip(PROMPTS, SEEDS, strict=True)]
    backwards = engine.generate(PROMPTS[::-1], decoding, SEEDS[::-1])[::-1]
    assert together == alone == backwards
    assert together[0] != together[2]


def test_tokens_come_as_often_as_the_temperature_says(engine):
    num_draws, prompt = 3000, [65, 66, 67]
    with torch.inference_mode():
        logits = engine.model(torch.tensor([prompt])).logits[0, -1].float()
    expected = (logits / 0.25).softmax(-1)
    engine.batch_size = num_draws
    decoding = Decoding(1, temperature=0.25)
    drawn = engine.generate([prompt] * num_draws, decoding, list(range(num_draws)))
    counts = torch.zeros(len(expected))
    for completion in drawn:
        counts[completion.token_ids[0]] += 1
    # chi-squared over the tokens that are expected five times or more, the rest as one
    often = expected * num_draws >= 5
    observed = torch.cat([counts[often], counts[~often].sum()[None]])
    wanted = torch.cat([expected[often], expected[~often].sum()[None]]) * num_draws
    statistic = ((observed - wanted) ** 2 / wanted).sum()
    freedom = len(wanted) - 1
    assert freedom > 5 and statistic < freedom + 4 * (2 * freedom) ** 0.5
