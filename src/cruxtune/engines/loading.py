"""Models as transformers loads them, with complaints that name the remedy."""

import os
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from cruxtune.engines.facts import require_match, union_of_ids
from cruxtune.engines.memory import require_memory
from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, load_tokenizer


def load_model(
    files: ModelFiles,
    dtype: str = "auto",
    device: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """The causal language model in a directory, in evaluation mode on its device."""
    transformers_logging.disable_progress_bar()
    place = pick_device(device)
    require_memory(files, dtype, place)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            files.directory,
            dtype=dtype,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"can't load {files.name}: {str(error).splitlines()[0]}") from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"the weights of {files.name} lack {len(missing)} tensors, the first is {missing[0]}"
        )
    return model.to(place).eval()


def load_outline(files: ModelFiles, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model without its weights: which modules it has, and which of them share theirs."""
    with torch.device("meta"):
        config = AutoConfig.from_pretrained(files.directory, trust_remote_code=trust_remote_code)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    model.tie_weights()
    return model


def pick_device(device: str) -> torch.device:
    """`auto` is a GPU if there is one: the one of this process where there are several."""
    if device == "auto":
        local_rank = os.environ.get("LOCAL_RANK", "0")
        return torch.device(f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"engine.device = {device!r} can't be used: {str(error).splitlines()[0]}") from error


def stop_token_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """All ids that end a text, of the generation config, the model's config and the tokenizer."""
    config = model.generation_config
    named = [config.eos_token_id if config else None, model.config.eos_token_id, tokenizer.eos_token_id]
    return union_of_ids(named)


def load_both(files: ModelFiles, trust_remote_code: bool, **options: Any) -> tuple[PreTrainedModel, Any]:
    """Model and tokenizer, checked to belong together."""
    model = load_model(files, trust_remote_code=trust_remote_code, **options)
    tokenizer = load_tokenizer(files, trust_remote_code)
    num_embeddings = model.get_input_embeddings().weight.size(0)  # type: ignore[operator]
    require_match(files, tokenizer, num_embeddings)
    return model, tokenizer
