"""Training side by side: ours, trl's `nll` and `chunked_nll`, and the logits of all tokens.

    python benchmarks/train.py                        # a small body under a large vocabulary: for two cores
    python benchmarks/train.py --hidden 2048 --layers 24 --device cuda --bf16

The same random model and data for all, each in a process of its own; the losses of the first step have to
agree: where one doesn't, the exit code is 1. From trl 1.16 on, `chunked_nll` is another name of `nll`; what
`nll` was before is `full`. Writes the table to the terminal and to a Markdown file, and all numbers to the
JSON file beside it.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from measuring.apart import apart
from measuring.arguments import Parser, count
from measuring.machine import conditions
from measuring.record import Record
from measuring.tables import to_markdown, to_terminal
from training.job import METHODS, Job
from training.tables import HEADINGS, Table
from training.worker import work


def main() -> None:
    options = parse_options()
    table = measure(job_of(options), options.methods)
    dtype = "bfloat16" if options.bf16 else "float32"
    record = Record(options.output, conditions(options.device, dtype, options.threads))
    record.add(table.numbers, to_markdown(table.title, HEADINGS, table.rows))
    Console(width=140).print(to_terminal(table.title, HEADINGS, table.rows))
    print(f"{record.json}\n{record.markdown}")
    if table.differing:
        raise SystemExit(f"not the same loss: {', '.join(table.differing)}")


def measure(job: Job, methods: list[str]) -> Table:
    return Table(job, {method: apart(work, replace(job, method=method)) for method in methods})


def job_of(options: argparse.Namespace) -> Job:
    chosen = {name: value for name, value in vars(options).items() if name not in ("methods", "output")}
    return Job(method=options.methods[0], **chosen)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Of these arguments; of the command line where there are none."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--hidden", type=count, default=256)
    parser.add_argument("--layers", type=count, default=4)
    parser.add_argument("--vocabulary", type=count, default=151_936)
    parser.add_argument("--length", type=count, default=512)
    parser.add_argument("--share", type=float, default=0.08, help="of weighted tokens")
    parser.add_argument("--batch", type=count, default=8)
    parser.add_argument("--micro-batch", type=count, default=4)
    parser.add_argument("--steps", type=count, default=5, help="that are measured")
    parser.add_argument("--threads", type=count, help="default: torch's own choice")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("train-benchmark.json"), help="and .md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
