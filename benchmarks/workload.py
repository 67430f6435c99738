"""Models and solutions to measure annotation with: made here, from the model that ships.

A *shape* is the tiny model made wider and deeper in a way that keeps what it computes (every unit repeated,
every weight divided by the number of repeats, added layers that add nothing). All shapes write the same
texts, so that only the cost of the arithmetic differs between them.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from cruxtune.engines import Decoding
from cruxtune.engines.loading import load_both
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.models import find_model
from cruxtune.problems import PromptEncoder
from cruxtune.problems.synthetic.solutions import Habits, write_solution
from cruxtune.problems.synthetic.story import Level, draw_story
from cruxtune.problems.synthetic.wordings import write_question
from cruxtune.progress import progress_bar
from cruxtune.recipe.training import TrainSection
from cruxtune.records import (
    Completion,
    Example,
    Grade,
    Origin,
    Problem,
    Solution,
    Verdict,
)
from cruxtune.verify import extract_answer


@dataclass(frozen=True, slots=True)
class Length:
    """Solutions of about so many tokens."""

    tokens: int
    calculations: tuple[int, int]
    """In the problems that are asked."""
    num_solutions: int
    """To measure with: rollout tokens grow with the square of the length."""
    is_long: bool = False
    """Whether the tiny model has to be taught to write that much first."""

    @property
    def span(self) -> tuple[int, int]:
        """The numbers of tokens that count as this length."""
        return self.tokens - self.tokens // 20, self.tokens + self.tokens // 3

    @property
    def limit(self) -> int:
        """Of solutions and rollouts, in tokens."""
        return 2 * self.tokens


LENGTHS = {
    50: Length(50, (2, 3), 24),
    150: Length(150, (12, 16), 12),
    300: Length(300, (20, 26), 4, is_long=True),
}
LONG_STEPS = 160
LONG_SETTINGS = TrainSection(
    batch_size=16, micro_batch_size=4, num_epochs=1, learning_rate=1e-3, warmup_ratio=0.05
)


def base_model(length: Length, cache: Path) -> Path:
    """The directory of the model that writes solutions of a length."""
    tiny = find_model("tiny", None).directory
    return _long_model(tiny, cache / "long") if length.is_long else tiny


def shaped_model(base: Path, width: int, depth: int, cache: Path) -> Path:
    """The directory of a model that computes what `base` does, `width` times as wide, `depth` as deep."""
    if width == depth == 1:
        return base
    directory = cache / f"{base.name}-{width}x{depth}"
    if not (directory / "config.json").exists():
        model, tokenizer = load_both(find_model(str(base), None), trust_remote_code=False)
        widened(model, width, depth).save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    return directory


def widened(model: PreTrainedModel, width: int, depth: int) -> PreTrainedModel:
    """The same function of more parameters."""
    config = Qwen2Config(**model.config.to_dict())
    for name in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        setattr(config, name, getattr(config, name) * width)
    config.num_hidden_layers *= depth
    config.layer_types = ["full_attention"] * config.num_hidden_layers
    other: Any = Qwen2ForCausalLM(config)
    other.to(model.dtype)
    shipped = model.state_dict()
    layers = model.config.num_hidden_layers
    state = {
        name: _widened(name, shipped[_source(name, layers)], width, layers) for name in other.state_dict()
    }
    other.load_state_dict(state)
    other.generation_config = model.generation_config
    other.eval()
    return other


def _source(name: str, layers: int) -> str:
    """The weight that one of the larger model is made from."""
    parts = name.split(".")
    if parts[1] == "layers":
        parts[2] = str(int(parts[2]) % layers)
    return ".".join(parts)


def _widened(name: str, weight: Tensor, width: int, layers: int) -> Tensor:
    parts = name.split(".")
    if parts[1] == "layers" and int(parts[2]) >= layers and parts[-2] in ("o_proj", "down_proj"):
        weight = torch.zeros_like(weight)
    if "embed_tokens" in name or "lm_head" in name:
        return weight.repeat(1, width)
    if weight.dim() == 2:
        return weight.repeat(width, width) / width
    return weight.repeat(width) / (width if name == "model.norm.weight" else 1)


def solutions_of(base: Path, length: Length, count: int) -> tuple[list[Problem], list[Solution]]:
    """Greedy solutions of that length, each with its problem, whose answer is what the solution says.

    They count as correct: what matters here is whether a branch comes to the same answer.
    """
    model, tokenizer = load_both(find_model(str(base), None), trust_remote_code=False)
    encoder, engine = PromptEncoder("cot", tokenizer), ReferenceEngine(model, tokenizer)
    problems: list[Problem] = []
    solutions: list[Solution] = []
    for start in range(0, 2000, 50):
        asked = [_problem(length, index) for index in range(start, start + 50)]
        prompts = [encoder.encode(problem) for problem in asked]
        for problem, prompt, done in zip(
            asked, prompts, engine.generate(prompts, Decoding(length.limit, encoder.stop)), strict=True
        ):
            if _is_usable(done, length):
                answer = extract_answer(done.text)
                problems.append(Problem(problem.id, problem.question, str(answer)))
                grade = Grade(Verdict.CORRECT, answer)
                solutions.append(Solution(problem.id, problem.id, prompt, done, grade, Origin.GREEDY))
        if len(solutions) >= count:
            return problems[:count], solutions[:count]
    raise SystemExit(f"the model wrote only {len(solutions)} solutions of about {length.tokens} tokens")


def _is_usable(done: Completion, length: Length) -> bool:
    shortest, longest = length.span
    is_of_length = shortest <= len(done.token_ids) <= longest
    return is_of_length and done.has_stopped and extract_answer(done.text) is not None


def _problem(length: Length, index: int) -> Problem:
    rng = random.Random(f"benchmark {length.calculations} {index}")
    story = draw_story(rng, Level(length.calculations, max_start=50, max_amount=40, max_total=150))
    return Problem(f"benchmark/{length.tokens}/{index}", write_question(story, rng).text, str(story.answer))


def _long_model(tiny: Path, directory: Path) -> Path:
    """The tiny model after some minutes of long solutions."""
    if (directory / "model" / "config.json").exists():
        return directory / "model"
    from cruxtune.train.finetune import finetune
    from cruxtune.train.log import StepBar

    model, tokenizer = load_both(find_model(str(tiny), None), trust_remote_code=False)
    encoder = PromptEncoder("cot", tokenizer)
    examples = [_long_example(encoder, tokenizer, i) for i in range(LONG_STEPS * LONG_SETTINGS.batch_size)]
    with progress_bar("long model", LONG_STEPS) as bar:
        finetune(model, tokenizer, examples, LONG_SETTINGS, 0, directory, [StepBar(bar)])
    return directory / "model"


def _long_example(encoder: PromptEncoder, tokenizer: object, index: int) -> Example:
    rng = random.Random(f"long {index}")
    story = draw_story(rng, Level((12, 26), max_start=50, max_amount=40, max_total=150))
    question = write_question(story, rng)
    text = f" {write_solution(story, question, rng, Habits(haste=0.0, noise=0.0))}"
    prompt = encoder.encode(Problem("", question.text, ""))
    ids = [*tokenizer(text).input_ids, tokenizer.eos_token_id]  # type: ignore[operator, attr-defined]
    return Example(prompt + ids, [0.0] * len(prompt) + [1.0] * len(ids))
