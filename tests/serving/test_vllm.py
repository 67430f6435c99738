"""The vLLM and the server engine on real vLLM, against the reference engine: token for token in float32."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from vllm_environment import NoVllmError, environment, find_python

from cruxtune.counterfactual import alternatives
from cruxtune.engines import Decoding, Inspection, Stem, continue_branches
from cruxtune.engines.client import Client
from cruxtune.engines.loading import load_both
from cruxtune.engines.reference import ReferenceEngine
from cruxtune.engines.requests import RequestEngine
from cruxtune.engines.server import open_server
from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, find_model
from cruxtune.problems import PromptEncoder
from cruxtune.problems.synthetic import generate_problems
from cruxtune.records import Branch, Completion

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LIMIT = 140
NUM_SOLUTIONS = 2
WHOLE_VOCABULARY = 768


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return find_python()
    except NoVllmError as error:
        pytest.skip(f"vLLM can't be installed here: {error}")


@pytest.fixture(scope="module")
def reference() -> ReferenceEngine:
    return ReferenceEngine(*load_both(find_model("tiny"), False), batch_size=64)


@pytest.fixture(scope="module")
def decoding(reference) -> Decoding:
    """With the stop strings of the template, and one that cuts most texts short."""
    encoder = PromptEncoder("cot", reference.tokenizer)
    return Decoding(LIMIT, (*encoder.stop, "answer is"))


@pytest.fixture(scope="module")
def prompts(reference) -> list[list[int]]:
    encoder = PromptEncoder("cot", reference.tokenizer)
    prompts = [encoder.encode(problem) for problem in generate_problems("train", 6, 0)]
    return [*prompts, [5] * 1020, [5] * 1024]


@pytest.fixture(scope="module")
def texts(reference, prompts, decoding) -> list[Completion]:
    return reference.generate(prompts, decoding)


@pytest.fixture(scope="module")
def stems(reference, prompts) -> list[Stem]:
    """Whole solutions, and one text that fills the context to the last token."""
    solutions = reference.generate(prompts[:NUM_SOLUTIONS], Decoding(LIMIT))
    stems = [
        reference.open_stem(prompt, solution.token_ids, 3)
        for prompt, solution in zip(prompts, solutions, strict=False)
    ]
    return [*stems, reference.open_stem([5] * 1015, [7, 9, 11] * 3, 3)]


@pytest.fixture(scope="module")
def branches(stems) -> list[list[Branch]]:
    return [alternatives(stem.inspection, stem.completion_ids, 3) for stem in stems]


@pytest.fixture(scope="module")
def rollouts(reference, stems, branches, decoding) -> list[list[Completion]]:
    return [
        [done[branch] for branch in rows]
        for stem, rows in zip(stems, branches, strict=True)
        for done in [continue_branches(reference, stem, rows, decoding)]
    ]


@dataclass(frozen=True)
class Starting:
    """A server that is on its way."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path


@pytest.fixture(scope="module")
def starting(python, tmp_path_factory) -> Iterator[Starting]:
    """vLLM's own server around the tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", find_model("tiny").directory]
    options = "--dtype float32 --enforce-eager --block-size 32 --host 127.0.0.1 --disable-log-stats"
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, *options.split(), "--port", str(port)], env=environment(), stdout=output, stderr=output
        )
    try:
        yield Starting(server, port, log)
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def url(starting) -> str:
    """Of the server, once it is there."""
    for _ in range(600):
        assert starting.process.poll() is None, starting.log.read_text()[-3000:]
        try:
            httpx2.get(f"http://127.0.0.1:{starting.port}/health")
            return f"http://127.0.0.1:{starting.port}/v1"
        except httpx2.TransportError:
            time.sleep(0.5)
    pytest.fail(starting.log.read_text()[-3000:])


@pytest.fixture(scope="module")
def answers(
    starting, python, tmp_path_factory, prompts, decoding, stems, branches
) -> dict[str, dict[str, Any]]:
    """What vLLM makes of all that, plain and with drafts, in one process."""
    folder = tmp_path_factory.mktemp("vllm")
    job = {
        "prompts": prompts,
        "max_new_tokens": LIMIT,
        "stop": decoding.stop,
        "solutions": [[stem.prompt_ids, stem.completion_ids] for stem in stems],
        "branches": [
            [[branch.position, branch.rank, branch.token_id, branch.probability] for branch in rows]
            for rows in branches
        ],
        "settings": [{"num_scored": WHOLE_VOCABULARY}, {"speculation": "ngram", "num_scored": 20}],
    }
    (folder / "job.json").write_text(json.dumps(job))
    command = [python, Path(__file__).parent / "in_vllm.py", folder / "job.json", folder / "answer.json"]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(("plain", "ngram"), json.loads((folder / "answer.json").read_text()), strict=True))


@pytest.mark.parametrize("name", ["plain", "ngram"])
def test_vllm_writes_what_the_reference_writes(name, answers, texts, rollouts):
    found = answers[name]
    assert found["context_length"] == 1024
    assert found["texts"] == [[text.token_ids, text.text, text.finish_reason] for text in texts]
    assert found["forks"] == [[[new.token_ids, new.finish_reason] for new in rows] for rows in rollouts]
    assert sum(len(rows) for rows in rollouts) > 300


def test_vllm_sees_what_the_reference_sees(answers, stems):
    for index, stem in enumerate(stems):
        wanted = stem.inspection
        assert answers["plain"]["top_ids"][index] == wanted.top_ids.tolist()
        assert answers["ngram"]["top_ids"][index] == wanted.top_ids.tolist()
        token_probs, entropies, margins = (np.array(row) for row in answers["plain"]["numbers"][index])
        assert token_probs == pytest.approx(wanted.token_probs, abs=1e-5)
        assert entropies == pytest.approx(wanted.entropies, abs=1e-4)
        assert margins == pytest.approx(wanted.margins, abs=1e-4)
        bounds = np.array(answers["ngram"]["numbers"][index][1])
        assert (bounds <= wanted.entropies + 1e-4).all()


@pytest.fixture
def served(url) -> RequestEngine:
    return open_server(find_model("tiny"), Client(url, None, 60.0, 1, 32), max_connections=32)


def test_a_server_writes_what_the_reference_writes(
    served, prompts, decoding, texts, stems, branches, rollouts
):
    assert served.generate(prompts, decoding) == texts
    for stem, rows, wanted in zip(stems, branches, rollouts, strict=True):
        done = continue_branches(served, stem, rows, decoding)
        assert [done[branch] for branch in rows] == wanted


def test_a_server_sees_what_the_reference_sees(served, stems):
    for stem in stems:
        wanted = stem.inspection
        found: Inspection = served.inspect(stem.prompt_ids, stem.completion_ids, 3)
        assert found.top_ids.tolist() == wanted.top_ids.tolist()
        assert found.top_probs == pytest.approx(wanted.top_probs, abs=1e-5)
        assert found.token_probs == pytest.approx(wanted.token_probs, abs=1e-5)
        assert found.margins == pytest.approx(wanted.margins, abs=1e-4)
        assert (found.entropies <= wanted.entropies + 1e-4).all()


def test_a_settled_text_ends_at_a_server_where_it_does_here(served, reference, prompts):
    settled = Decoding(400, is_settled=lambda text: text.count(".") >= 2)
    found = served.generate(prompts[:4], settled)
    assert found == reference.generate(prompts[:4], settled)
    assert {str(text.finish_reason) for text in found} == {"settled"}


def test_samples_of_a_server_follow_their_seed(served, prompts):
    warm = Decoding(20, temperature=1.0, seed=3)
    first = served.generate(prompts[:1] * 4, warm)
    assert served.generate(prompts[:1] * 4, warm) == first
    assert len({tuple(text.token_ids) for text in first}) > 1


def test_more_scores_than_the_server_gives_are_refused_with_the_remedy(url):
    engine = open_server(find_model("tiny"), Client(url, None, 60.0, 1, 4), num_scored=100)
    with pytest.raises(ModelError, match=r"start it with --max-logprobs, or lower engine\.num_scored"):
        engine.inspect([5, 6], [7, 8], 3)


def test_a_checkpoint_is_not_taken_for_the_model_that_is_served(url, tmp_path):
    with pytest.raises(ModelError, match="One server serves one model: start"):
        open_server(ModelFiles("cft-0", _copy(tmp_path)), Client(url, None, 60.0, 1, 4))


def _copy(folder: Path) -> Path:
    for path in find_model("tiny").directory.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
