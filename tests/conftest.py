"""What all tests share: one thread, a random model made by code, small records for hand examples."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; torch reads both once
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from cruxtune.records import (
    Branch,
    Completion,
    FinishReason,
    Grade,
    Origin,
    Rollout,
    Solution,
    Verdict,
)

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
TEXTS = (
    "Question: Tom has 12 apples and eats 3.\nAnswer: 12 - 3 = 9. The answer is 9.",
    "She has 48 + 24 = 72.",
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """GSM8K and MATH, which lie beside the repository where they lie at all."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the data files are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 model of some 30,000 parameters with a byte-level tokenizer, in transformers' layout."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    directory = tmp_path_factory.mktemp("model")
    tokenizer = _byte_tokenizer()
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tokenizer(tiny_files: Path) -> Any:
    """The tokenizer of `tiny_files`: any byte has a token, digits are single, there is no chat template."""
    from cruxtune.models import find_model, load_tokenizer

    return load_tokenizer(find_model(str(tiny_files)))


def _byte_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|pad|>"],
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|pad|>")


@pytest.fixture
def make_solution() -> Callable[..., Solution]:
    return _solution


@pytest.fixture
def make_rollout() -> Callable[..., Rollout]:
    return _rollout


def _solution(
    id: str = "s", token_ids: tuple[int, ...] = (1, 2, 3), verdict: Verdict = Verdict.CORRECT, **others: Any
) -> Solution:
    completion = Completion(list(token_ids), others.pop("text", "one two three"), FinishReason.STOP)
    grade = Grade(verdict, others.pop("answer", "3"))
    return Solution(id, id, others.pop("prompt_ids", [7, 8]), completion, grade, Origin.GREEDY)


def _rollout(
    position: int, rank: int, verdict: Verdict, probability: float = 0.25, solution_id: str = "s"
) -> Rollout:
    return Rollout(
        solution_id,
        Branch(position, rank, 100 + rank, probability),
        "x",
        Completion([100 + rank, 5], "x y", FinishReason.STOP),
        Grade(verdict, None),
    )
