"""A tiny grammar for wordings: `[a|b|]` is a choice (it may nest or be empty), `{name}` a slot."""

import random
import re

_INNERMOST_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def expand(template: str, rng: random.Random, **slots: object) -> str:
    """One wording of the template, with its slots filled in.

    >>> expand("[Now|So] there are {n}.", random.Random(0), n=3)
    'So there are 3.'
    """
    while choice := _INNERMOST_CHOICE.search(template):
        option = rng.choice(choice.group(1).split("|"))
        template = template[: choice.start()] + option + template[choice.end() :]
    return template.format(**slots)


def capitalized(sentence: str) -> str:
    """The sentence with its first letter in upper case, the others as they are."""
    return sentence[:1].upper() + sentence[1:]
