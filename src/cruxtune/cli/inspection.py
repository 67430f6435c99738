"""`cruxtune lint` and `cruxtune show`: what training would see, before it does."""

from typing import Annotated, Any

import typer
from rich.text import Text

from cruxtune.cli.application import Overrides, RecipeArgument, app
from cruxtune.cli.printing import console

STRONG, WEAK, PROMPT = "black on bright_yellow", "black on bright_cyan", "dim"


@app.command()
def lint(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Check what `select` wrote: alignment, empty rows, prompt tokens, stop tokens, lengths."""
    from cruxtune.recipe import load_recipe
    from cruxtune.stages.lint import lint as examine_all

    is_wrong = False
    for findings in examine_all(load_recipe(recipe, overrides or ())):
        told = [*(f"error: {what}" for what in findings.errors), *findings.warnings]
        print(f"{findings.selection}: {findings.num_solutions} solutions, {'; '.join(told) or 'all is well'}")
        is_wrong |= bool(findings.errors)
    if is_wrong:
        raise typer.Exit(1)


@app.command()
def show(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    selection: Annotated[
        str | None, typer.Option(help="Whose tokens are coloured; default: the first but plain SFT.")
    ] = None,
    num_solutions: Annotated[int, typer.Option(min=1, help="How many solutions.")] = 3,
) -> None:
    """Print solutions with the tokens coloured that count in the loss, as the trainer's batches have them."""
    from cruxtune.recipe import load_recipe
    from cruxtune.stages.show import show as shown

    for example in shown(load_recipe(recipe, overrides or ()), selection, num_solutions):
        num_selected = sum(weight > 0 for weight in example.weights)
        num_tokens = len(example.weights) - example.num_prompt_tokens
        console.rule(f"{example.solution_id}: {num_selected} of {num_tokens} tokens")
        console.print(_coloured(example) if console.is_terminal else _bracketed(example), soft_wrap=True)


def _coloured(example: Any) -> Text:
    """Selected tokens on a colour, those of a weight above 1 on another, the prompt faint."""
    text = Text()
    for place, (piece, weight) in enumerate(zip(example.texts, example.weights, strict=True)):
        selected = STRONG if weight > 1 else WEAK if weight > 0 else ""
        shown = piece.replace("\n", "↵\n") if selected else piece
        text.append(shown, selected or (PROMPT if place < example.num_prompt_tokens else ""))
    return text


def _bracketed(example: Any) -> Text:
    """The same where there are no colours: selected tokens in brackets, the weight where it isn't 1."""
    pairs = zip(example.texts, example.weights, strict=True)
    return Text("".join(_mark(piece, weight) if weight > 0 else piece for piece, weight in pairs))


def _mark(piece: str, weight: float) -> str:
    return f"⟦{piece}⟧" if weight == 1 else f"⟦{piece} ×{weight:g}⟧"
