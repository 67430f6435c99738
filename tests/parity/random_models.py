"""Random models of some architectures, small enough for plain computations, with words as their tokens."""

from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY = 40
PAD, EOS, UNKNOWN = 0, 1, 2
ARCHITECTURES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {}),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "olmo2": (Olmo2Config, Olmo2ForCausalLM, {}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": None}),
}
"""Configuration, model, and what the configuration needs besides."""


def make_model(config_type: Any, model_type: Any, seed: int = 3, **others: Any) -> Any:
    """A model with weights large enough that its texts are various."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 96,
        "initializer_range": 0.6,
        "pad_token_id": PAD,
        "bos_token_id": None,
        "eos_token_id": EOS,
    }
    return model_type(config_type(**(settings | others))).eval()


def words(size: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A tokenizer whose token 7 is the word `w7`."""
    core = Tokenizer(WordLevel({f"w{index}": index for index in range(size)}, unk_token=f"w{UNKNOWN}"))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=f"w{PAD}", eos_token=f"w{EOS}", unk_token=f"w{UNKNOWN}"
    )
