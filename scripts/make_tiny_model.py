"""Make the tiny base model: a tokenizer and about 1 M parameters, from scratch, on the synthetic corpus.

Run `python scripts/make_tiny_model.py OUTPUT`. Everything follows from the seed.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from cruxtune.problems.synthetic.corpus import write_corpus

EOS, PAD = "<|endoftext|>", "<|pad|>"
EOS_ID, PAD_ID = 0, 1
VOCABULARY_SIZE = 768
CONTEXT = 1024
LATER_DOCUMENTS = 10_000
LATER_LEARNING_RATE = 5e-4
LATER_HASTE = 0.6


@dataclass(frozen=True, slots=True)
class Row:
    """A document in token ids. The loss counts the completion alone."""

    prompt: list[int]
    completion: list[int]

    @property
    def ids(self) -> list[int]:
        """What the model reads."""
        return self.prompt + self.completion

    @property
    def labels(self) -> list[int]:
        """What it is to predict: -100 in the prompt."""
        return [-100] * len(self.prompt) + self.completion


def main() -> None:
    """Train and write the model."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    start = time.monotonic()
    documents = list(write_corpus(arguments.documents, arguments.seed))
    tokenizer = train_tokenizer(["".join(document) for document in documents[:20_000]])
    model = build_model()
    print(f"{len(documents)} documents, {model.num_parameters():,} parameters")
    train(model, encode(documents, tokenizer), arguments.learning_rate, arguments)
    train(model, encode(list(later_documents(arguments)), tokenizer), LATER_LEARNING_RATE, arguments)
    save(model, tokenizer, arguments.output)
    print(f"wrote {arguments.output} after {(time.monotonic() - start) / 60:.1f} minutes")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="the directory to write")
    parser.add_argument("--documents", type=int, default=75_000, help="how many texts to read, each once")
    parser.add_argument("--batch-size", type=int, default=24, help="texts in an optimizer step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the peak of the cosine")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--seed", type=int, default=0, help="of the corpus, the weights and the order")
    return parser.parse_args()


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which each digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        padding_side="left",
    )


def build_model() -> Qwen2ForCausalLM:
    """A fresh Qwen2 of about a million parameters."""
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    return Qwen2ForCausalLM(config)


def encode(documents: list[tuple[str, str]], tokenizer: PreTrainedTokenizerFast) -> list[Row]:
    """Each document's token ids, the end-of-text token included."""
    prompts = tokenizer([prompt for prompt, _ in documents])["input_ids"]
    completions = tokenizer([completion + EOS for _, completion in documents])["input_ids"]
    return [Row(*pair) for pair in zip(prompts, completions, strict=True)]


def later_documents(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The last, shorter phase reads on in a corpus with fewer hasty answers, at a lower learning rate."""
    return write_corpus(LATER_DOCUMENTS, arguments.seed, start=arguments.documents, haste=LATER_HASTE)


def train(
    model: Qwen2ForCausalLM, rows: list[Row], learning_rate: float, arguments: argparse.Namespace
) -> None:
    """One pass of AdamW with warm-up and cosine decay; bf16 autocast, weights in float32."""
    batches = group_by_length(rows, arguments.batch_size, random.Random(arguments.seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        learning_rate,
        len(batches),
        pct_start=0.03,
        final_div_factor=1e3,
        cycle_momentum=False,
    )
    start, num_tokens, loss = time.monotonic(), 0, torch.zeros(())
    for step, batch in enumerate(batches, 1):
        loss = take_step(model, batch, optimizer)
        schedule.step()
        num_tokens += sum(len(row.ids) for row in batch)
        if step % 50 == 0 or step == len(batches):
            speed = num_tokens / (time.monotonic() - start)
            print(
                f"step {step}/{len(batches)}  loss {loss:.3f}  {num_tokens:,} tokens, {speed:.0f}/s",
                flush=True,
            )


def group_by_length(rows: list[Row], batch_size: int, rng: random.Random) -> list[list[Row]]:
    """Batches of rows of like length, in random order: little padding, yet every batch is mixed."""
    pool_size = batch_size * 50
    batches = []
    for first in range(0, len(rows), pool_size):
        pool = sorted(rows[first : first + pool_size], key=lambda row: len(row.ids))
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    rng.shuffle(batches)
    return batches


def take_step(model: Qwen2ForCausalLM, batch: list[Row], optimizer: torch.optim.Optimizer) -> Tensor:
    """The mean loss over the batch's tokens, after one update."""
    input_ids, labels = pad(batch, PAD_ID)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids[:, :-1]).logits
    loss = functional.cross_entropy(logits.float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def pad(batch: list[Row], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids padded on the right, and labels: -100 in prompts and padding. Causal attention needs no mask."""
    width = max(len(row.ids) for row in batch)
    input_ids = torch.tensor([row.ids + [pad_id] * (width - len(row.ids)) for row in batch])
    labels = torch.tensor([row.labels + [-100] * (width - len(row.ids)) for row in batch])
    return input_ids, labels


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """The ordinary transformers layout, with the tokenizer as transformers loads it for this architecture."""
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=EOS_ID, pad_token_id=PAD_ID)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    AutoTokenizer.from_pretrained(output).save_pretrained(output)


if __name__ == "__main__":
    main()
