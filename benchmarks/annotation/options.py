"""The command line of `annotate.py`."""

import argparse
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from annotation.methods import GROUPS, METHODS
from measuring.arguments import Parser, count
from workload import LENGTHS


class Shape(NamedTuple):
    """How much wider and deeper than the model that ships."""

    width: int
    depth: int

    def __str__(self) -> str:
        return f"{self.width}x{self.depth}"


@dataclass(frozen=True)
class Options:
    lengths: list[int]
    shapes: list[Shape]
    methods: list[str]
    """Names and groups."""
    solutions: int | None
    sample: int
    repeats: int
    threads: int | None
    engine_tokens: int | None
    device: str
    dtype: str
    vllm_python: str | None
    cache: Path
    output: Path


def parse_options(description: str | None, arguments: list[str] | None = None) -> Options:
    """Of these arguments; of the command line where there are none."""
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_workload(parser)
    add_conditions(parser)
    add_files(parser)
    return Options(**vars(parser.parse_args(arguments)))


def add_workload(parser: argparse.ArgumentParser) -> None:
    names = [*METHODS, *GROUPS]
    groups = "; ".join(f"{name}: {' '.join(methods)}" for name, methods in GROUPS.items())
    shapes = [Shape(1, 1), Shape(2, 1), Shape(4, 1)]
    few = partial(count, least=2)
    parser.add_argument("--lengths", type=int, nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--shapes", type=shape, nargs="+", default=shapes, help="width x depth: 2x1")
    parser.add_argument("--methods", nargs="+", choices=names, default=["all"], help=f"groups: {groups}")
    parser.add_argument("--solutions", type=count, help="default: fewer of longer ones")
    parser.add_argument("--sample", type=few, default=200, help="branches that `alone` measures")
    parser.add_argument("--repeats", type=count, default=2, help="the fastest counts")


def add_conditions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=count, help="default: torch's own choice")
    parser.add_argument("--engine-tokens", type=count, help="in a pass of the trunk engine")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--vllm-python", default=os.environ.get("CRUXTUNE_VLLM_PYTHON"))


def add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmarks"), help="of models made here")
    parser.add_argument("--output", type=Path, default=Path("annotate-benchmark.json"), help="and .md")


def shape(text: str) -> Shape:
    width, _, depth = text.partition("x")
    return Shape(count(width), count(depth))
