"""What writes completions. The protocol and the scripted engine import no torch."""

from cruxtune.engines.engine import (
    Continued,
    Decoding,
    Engine,
    Fork,
    Inspection,
    Stem,
    TakeFork,
    continue_branches,
)
from cruxtune.engines.scripted import ScriptedEngine

__all__ = [
    "Continued",
    "Decoding",
    "Engine",
    "Fork",
    "Inspection",
    "ScriptedEngine",
    "Stem",
    "TakeFork",
    "continue_branches",
]
