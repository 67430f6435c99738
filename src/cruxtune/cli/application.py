"""The typer application that every file of this room adds its verbs to, and the arguments they share."""

from typing import Annotated

import typer

from cruxtune import __version__

app = typer.Typer(
    name="cruxtune",
    help="Find the critical tokens of a model's own correct solutions, and fine-tune on those alone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecipeArgument = Annotated[str, typer.Argument(help="A TOML file, or the name of a recipe that ships: tiny.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings over those of the recipe, as section.key=value.")
]

Budget = Annotated[
    str | None,
    typer.Option(help="Stop cleanly after this time: 90s, 30m, 2h, 1h30m. The same command goes on."),
]

ShardOption = Annotated[
    str | None,
    typer.Option("--shard", help="Do one share of the work: 0/4 is the first of four; see `merge`."),
]

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Let so many processes of this machine do the work, an engine each."
    ),
]

RayOption = Annotated[
    bool,
    typer.Option("--ray", help="Let actors of a Ray cluster do the work: see `cluster` in the recipe."),
]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        print(f"cruxtune {__version__}")
        raise typer.Exit
