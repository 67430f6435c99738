"""How checkpoints are made: the settings of a run, methods that differ in some of them, the section."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from cruxtune.recipe.settings import Name, Seed, Settings

LOGGING = {"save_every", "monitor_every", "report_to"}
"""Settings that change no result."""


class LoraSection(Settings):
    """Low-rank adapters instead of full fine-tuning."""

    r: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all-linear"] = "all-linear"


class TrainSettings(Settings):
    """Of one run: fine-tuning on weighted tokens (eq. 8)."""

    objective: Literal["weighted", "dft", "eaft"] = "weighted"
    """Cross-entropy by weight; `dft` times the token's probability, `eaft` times the entropy around it."""
    normaliser: Literal["step", "sequence", "set"] = "step"
    """What the loss is divided by: the step's weights, its sequences, or the whole set's weights (eq. 8)."""
    num_epochs: PositiveFloat = 3.0
    batch_size: PositiveInt = 16
    """Sequences in one optimizer step, over all micro-batches and processes."""
    micro_batch_size: PositiveInt = 16
    """Sequences in one forward pass; a divisor of `batch_size`."""
    learning_rate: PositiveFloat = 5e-6
    warmup_ratio: float = Field(default=0.03, ge=0.0, lt=1.0)
    lr_scheduler: Literal[
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
    ] = "cosine"
    """As in transformers."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    max_grad_norm: PositiveFloat = 1.0
    max_length: PositiveInt = 2048
    """A longer prompt + completion is an error, never cut."""
    bf16: bool = False
    gradient_checkpointing: bool = False
    padding_free: bool = False
    """Join the sequences of a micro-batch into one row instead of padding them."""
    lora: LoraSection | None = None
    """`false` in a method where the others have it."""
    save_every: NonNegativeInt = 0
    """Optimizer steps between checkpoints to resume from; 0 keeps none."""
    monitor_every: NonNegativeInt = 10
    """Optimizer steps between measurements of accuracy and entropy, on tokens with and without a weight,
    on a few examples; 0 makes none."""
    report_to: tuple[str, ...] = ()
    """Loggers of transformers: `wandb`, `tensorboard`, `trackio`, …"""

    @field_validator("lora", mode="before")
    @classmethod
    def _false_is_none(cls, value: Any) -> Any:
        return None if value is False else value


def require_whole_batches(settings: TrainSettings, key: str) -> None:
    if settings.batch_size % settings.micro_batch_size:
        raise ValueError(
            f"{key}.batch_size = {settings.batch_size} is not a multiple of its "
            f"micro_batch_size = {settings.micro_batch_size}"
        )


class Method(TrainSettings):
    """What one method does otherwise than the section says; what is not set here holds as it stands there."""

    selection: str | None = None
    """Whose weights it trains on; default: the one of the method's own name."""
    after: str | None = None
    """The method whose checkpoint, of the same seed, it starts from; default: the base model."""

    @property
    def own_settings(self) -> dict[str, Any]:
        names = TrainSettings.model_fields.keys() & self.model_fields_set
        return {name: getattr(self, name) for name in names}

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if name in self.model_fields_set}


class TrainSection(TrainSettings):
    """Which methods are trained, and how."""

    selections: tuple[str, ...] = ("sft", "cft", "random")
    """Which selections to train on, or methods of [train.methods]; each gives one checkpoint a seed."""
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    methods: dict[Name, Method] = Field(default={})
    """By name: methods with another selection, other settings, or the checkpoint of another one to start
    from: `{ dft = { selection = "sft", objective = "dft" } }`."""

    @model_validator(mode="after")
    def _all_end_at_the_base(self) -> Self:
        for name in self.methods:
            self.line(name)
        return self

    @property
    def trained(self) -> tuple[str, ...]:
        """All methods that get a checkpoint, each behind those that it starts from."""
        names = (name for method in self.selections for name in self.line(method))
        return tuple(dict.fromkeys(names))

    def of(self, method: str) -> TrainSettings:
        """The settings as they hold for one method."""
        general = {name: getattr(self, name) for name in TrainSettings.model_fields}
        return TrainSettings.model_validate(general | self._method(method).own_settings)

    def selection_of(self, method: str) -> str:
        return self._method(method).selection or method

    def line(self, method: str) -> list[str]:
        """A method behind those whose checkpoints it starts from; the first starts from the base model."""
        line = [method]
        while before := self._method(line[0]).after:
            if before in line:
                raise ValueError(f"train.methods.{before} starts from its own checkpoint: {' → '.join(line)}")
            line.insert(0, before)
        return line

    def _method(self, name: str) -> Method:
        return self.methods.get(name) or Method()
