"""What a model's files say of it, for engines that leave the weights to others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What an engine must know of a model besides its weights."""

    name: str
    stop_token_ids: frozenset[int]
    context_length: int
    vocab_size: int
    dtype: str
    """In which the weights are stored, as in `float32`; `auto` where the files don't say."""


def read_facts(files: ModelFiles, tokenizer: Any, trust_remote_code: bool = False) -> ModelFacts:
    """The facts of a model whose tokenizer is loaded already."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(files.directory, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"can't read {files.name}: {str(error).splitlines()[0]}") from error
    text_config = config.get_text_config()
    require_match(files, tokenizer, text_config.vocab_size)
    return ModelFacts(
        name=files.name,
        stop_token_ids=union_of_ids([_generation_stop(files), config.eos_token_id, tokenizer.eos_token_id]),
        context_length=context_length_of(text_config),
        vocab_size=text_config.vocab_size,
        dtype=str(config.dtype).removeprefix("torch.") if config.dtype else "auto",
    )


def require_match(files: ModelFiles, tokenizer: Any, num_embeddings: int) -> None:
    """Refuse a tokenizer with ids that the model has no embedding for."""
    if len(tokenizer) > num_embeddings:
        raise ModelError(
            f"the tokenizer of {files.name} has {len(tokenizer)} tokens, the model embeds only "
            f"{num_embeddings}: they don't belong together"
        )


def require_room(num_tokens: int, context_length: int) -> None:
    """Refuse a text that the model has no positions for."""
    if num_tokens > context_length:
        raise ModelError(
            f"a text of {num_tokens} tokens is longer than the model's context of {context_length}"
        )


def context_length_of(text_config: Any) -> int:
    return getattr(text_config, "max_position_embeddings", None) or 2**31


def union_of_ids(named: Iterable[int | list[int] | tuple[int, ...] | None]) -> frozenset[int]:
    """All ids that end a text, of those that configurations name: one, several or none each."""
    ids = frozenset(token_id for value in named for token_id in _as_list(value))
    if not ids:
        raise ModelError(
            "the model names no end-of-text token: set eos_token_id in its generation_config.json"
        )
    return ids


def _generation_stop(files: ModelFiles) -> int | list[int] | None:
    from transformers import GenerationConfig

    if not (files.directory / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(files.directory).eos_token_id


def _as_list(value: Any) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
