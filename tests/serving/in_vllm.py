"""Run by an interpreter that has vLLM: what the vLLM engine makes of a job, as JSON.

python in_vllm.py job.json answer.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from cruxtune.engines import Decoding, continue_branches
from cruxtune.engines.requests import RequestEngine
from cruxtune.engines.vllm import open_vllm
from cruxtune.models import find_model
from cruxtune.records import Branch


def main(job_file: str, answer_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    answers = []
    for settings in job["settings"]:
        engine = open_vllm(find_model("tiny"), **settings)
        answers.append(answer(engine, job))
        del engine
    Path(answer_file).write_text(json.dumps(answers), encoding="utf-8")


def answer(engine: RequestEngine, job: dict[str, Any]) -> dict[str, Any]:
    decoding = Decoding(job["max_new_tokens"], tuple(job["stop"]))
    texts = engine.generate(job["prompts"], decoding)
    stems = [engine.open_stem(prompt, ids, 3) for prompt, ids in job["solutions"]]
    branches = [[Branch(*branch) for branch in rows] for rows in job["branches"]]
    forks = [
        continue_branches(engine, stem, rows, decoding) for stem, rows in zip(stems, branches, strict=True)
    ]
    return {
        "context_length": engine.context_length,
        "texts": [[text.token_ids, text.text, text.finish_reason] for text in texts],
        "top_ids": [stem.inspection.top_ids.tolist() for stem in stems],
        "numbers": [
            [getattr(stem.inspection, name).tolist() for name in ("token_probs", "entropies", "margins")]
            for stem in stems
        ],
        "forks": [
            [[done[branch].token_ids, done[branch].finish_reason] for branch in rows]
            for done, rows in zip(forks, branches, strict=True)
        ],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
