"""Which models the trunk engine is right for: asked of the configuration, then tried on the model itself."""

import logging
from typing import Any

import torch
from transformers import PreTrainedModel

from cruxtune.engines.engine import Fork
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.engines.trunk.attention import UnsupportedAttention
from cruxtune.engines.trunk.cohort import START_DRAFT, Cohort
from cruxtune.engines.trunk.engine import TrunkEngine
from cruxtune.engines.trunk.step import Block, BranchPass
from cruxtune.records import Branch

logger = logging.getLogger(__name__)

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.05}
"""Between the logits of the two ways, relative to the spread of the logits."""


def reason_against(model: PreTrainedModel) -> str | None:
    """Why branches of this model can't share a trunk; None where they can."""
    config = model.config.get_text_config()
    other = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if other:
        return f"it has layers of {', '.join(sorted(other))}"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return f"its attention has a sliding window of {config.sliding_window}"
    if rope := _rope_by_length(config):
        return f"its positions ({rope}) are turned by the length of the longest text in a pass"
    if not getattr(model, "_supports_attention_backend", False):
        return "it doesn't go through transformers' attention interface"
    return None


def _rope_by_length(config: Any) -> str | None:
    """The kind of rotary embedding, if its frequencies depend on how long a text is: branches would depend on
    their neighbours."""
    parameters = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kind = parameters.get("rope_type", parameters.get("type"))
    return kind if kind in ("longrope", "dynamic") else None


def reason_after_trial(engine: TrunkEngine) -> str | None:
    """Why branches fail on a text of a few tokens; None where all their logits are those of a plain pass."""
    try:
        return _try_out(engine)
    except UnsupportedAttention as error:
        return str(error)
    except (TypeError, AttributeError, RuntimeError, ValueError) as error:
        return f"a trial failed: {type(error).__name__}: {str(error).splitlines()[0]}"


@torch.inference_mode()
def _try_out(engine: TrunkEngine) -> str | None:
    """A branch that says what its text says anyway must have the logits of the text."""
    words = [i for i in range(engine.vocabulary) if i not in engine.stop_token_ids][:12]
    stem = engine.open_stem(words[:4], words[4:], 2)
    fork = Fork(stem, Branch(position=2, rank=2, token_id=words[6], probability=0.0))
    memory = engine.new_memory(len(words) + START_DRAFT, 1)
    cohort = Cohort([fork], [len(words)], START_DRAFT, memory)
    found = engine.logits(BranchPass([Block(cohort, START_DRAFT)], memory)).float()
    ids = torch.tensor([words], device=engine.model.device)
    wanted = engine.model(ids, use_cache=False).logits[0, 6 : 7 + START_DRAFT].float()
    difference = float((found - wanted).abs().max() / wanted.std())
    if not difference <= TOLERANCE[engine.model.dtype]:
        return f"on a trial its logits differ by {difference:.2g} of their spread"
    return None


def trunk_or_reference(engine: TrunkEngine) -> ReferenceEngine:
    """The engine if its model allows it, else the reference engine with the same model, and a message."""
    reason = reason_against(engine.model) or reason_after_trial(engine)
    if reason is None:
        return engine
    logger.warning("this model can't share a trunk: %s; the reference engine is used instead", reason)
    return ReferenceEngine(engine.model, engine.tokenizer, engine.batch_size)
