"""The one class of user errors: what was found, what was expected, what to do.

The command line prints them as one line; anything else is a bug and keeps its traceback.
"""


class CruxtuneError(Exception):
    """A mistake that the user can mend; the message names the remedy."""


class RecipeError(CruxtuneError):
    """The recipe has an unknown key, a bad value or parts that contradict each other."""


class ProblemError(CruxtuneError):
    """The problems can't be read: a missing column, an empty file, a duplicate id."""


class ModelError(CruxtuneError):
    """The model or its tokenizer can't be used as asked."""


class ArtifactError(CruxtuneError):
    """A stage directory is incomplete, damaged, or belongs to another recipe or model."""


class SelectionError(CruxtuneError):
    """A selection rule can't be answered from the stored evidence, or selects nothing."""


class ClusterError(CruxtuneError):
    """A Ray cluster can't be reached, or its actors die again and again."""
