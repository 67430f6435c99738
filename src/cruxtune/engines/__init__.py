"""What writes completions. The protocol and the scripted engine import no torch."""

from cruxtune.engines.engine import Decoding, Engine, Inspection
from cruxtune.engines.scripted import ScriptedEngine

__all__ = ["Decoding", "Engine", "Inspection", "ScriptedEngine"]
