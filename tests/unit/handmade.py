"""Tokenizers as models have them, made by code."""

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen 2.5, Llama 3 and OLMo 2 cut texts; they differ in how many digits stay together."""
TEXT = "Tom pays 1234 + 560 = $1794, so he has 200. The answer is 1794.\n" * 20


def make_tokenizer(digits: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN.format(digits=digits)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    core.train_from_iterator([TEXT], trainer)
    core.add_tokens([AddedToken("<né>", special=False)])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>")


def sentencepiece() -> PreTrainedTokenizerFast:
    """Llama 2's way: `▁` for a space, `<0x..>` for the bytes of what is not in the vocabulary."""
    pieces = ["<unk>", "</s>", "▁is", "▁", "5", ".", *(f"<0x{byte:02X}>" for byte in range(256))]
    core = Tokenizer(
        models.BPE(
            vocab={piece: id for id, piece in enumerate(pieces)},
            merges=[],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")


def with_space_before() -> PreTrainedTokenizerFast:
    """The same, but that it cuts texts too, and puts a space before each: Llama 2's normaliser."""
    tokenizer = sentencepiece()
    core = tokenizer.backend_tokenizer
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")
