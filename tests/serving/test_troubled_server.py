"""The server engine where servers fail: it tries again, says what is wrong, and keeps what it has."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stub import StubServer, serve

from cruxtune.engines import Decoding, Fork
from cruxtune.engines.client import Client
from cruxtune.engines.requests import RequestEngine
from cruxtune.engines.server import open_server
from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, find_model
from cruxtune.records import Branch, FinishReason

PROMPTS = [[10 + index, 20] for index in range(8)]


@pytest.fixture
def files(tiny_files) -> ModelFiles:
    return find_model(str(tiny_files))


@pytest.fixture
def server(tokenizer, files) -> Iterator[StubServer]:
    server = serve(tokenizer, files.name)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_engine(server, files) -> Callable[..., RequestEngine]:
    def open_engine(max_connections: int = 4, num_retries: int = 2, **options: Any) -> RequestEngine:
        client = Client(server.url, options.pop("key", None), 20.0, num_retries, max_connections)
        return open_server(options.pop("files", files), client, max_connections=max_connections, **options)

    return open_engine


def forks_of(engine: RequestEngine, prompts: list[list[int]]) -> Iterator[Fork]:
    """The fork at the second of two tokens after each prompt, from stems that were not scored."""
    from cruxtune.engines import Stem
    from cruxtune.engines.scores import inspect_scores

    inspection = inspect_scores([{7: -0.1, 8: -2.5}] * 2, [7, 8], 2, 300)
    return (Fork(Stem(prompt, [7, 8], inspection), Branch(1, 2, 9, 0.1)) for prompt in prompts)


def test_what_failed_is_asked_again_and_nothing_else_changes(server, open_engine):
    engine = open_engine()
    wanted = engine.generate(PROMPTS, Decoding(6))
    server.troubles = [503, None, 429]
    before = len(server.bodies)
    assert engine.generate(PROMPTS, Decoding(6)) == wanted
    assert len(server.bodies) - before == len(PROMPTS) + 3


def test_a_server_that_nobody_started_is_named(files):
    with pytest.raises(ModelError, match=r"can't reach http://127\.0\.0\.1:9/v1/models .* 2 times: start"):
        open_server(files, Client("http://127.0.0.1:9/v1", None, 5.0, 1, 4))


def test_an_address_that_is_none_is_refused_at_once(files):
    with pytest.raises(ModelError, match="localhost"):
        open_server(files, Client("localhost:8000/v1", None, 5.0, 0, 4))


def test_what_came_before_a_server_died_stays_with_the_caller(server, open_engine):
    engine = open_engine(max_connections=2, num_retries=1)
    server.troubles = [200] * 5 + [500] * 100
    forks, kept = forks_of(engine, PROMPTS), []
    with pytest.raises(ModelError, match="answers 500 in trouble, 2 times"):
        for batch in engine.continue_forks(lambda: next(forks, None), Decoding(6)):
            kept += batch
    assert len(kept) in (4, 5)
    assert all(completion.token_ids[:2] == [9, 5] for _, completion in kept)


def test_a_server_that_takes_no_token_ids_is_refused_with_the_remedy(server, open_engine):
    server.alter = lambda answer: None
    with pytest.raises(ModelError, match=r"takes no token ids as a prompt: use vLLM .*must be a string"):
        open_engine()


def test_a_server_that_gives_no_token_ids_is_refused_with_the_remedy(server, open_engine):
    server.alter = lambda answer: {"choices": [{"text": "2"}]}
    with pytest.raises(ModelError, match="gives back no token ids: use vLLM"):
        open_engine()


def test_a_server_that_cuts_the_prompt_anew_is_refused(server, open_engine):
    server.alter = lambda answer: answer | {"usage": {"prompt_tokens": 1}}
    with pytest.raises(ModelError, match="doesn't take token ids as they are"):
        open_engine()


def test_another_model_than_the_recipes_is_refused_by_its_name(server, open_engine, files):
    server.model = "somebody/else"
    with pytest.raises(
        ModelError, match=r"serves 'somebody/else', not .* One server serves one model: start"
    ):
        open_engine()
    with pytest.raises(ModelError, match=r"serves 'somebody/else', not engine.model = 'x'"):
        open_engine(model="x")
    assert open_engine(model="somebody/else").generate([[3]], Decoding(2))


def test_a_checkpoint_is_not_taken_for_the_base_that_is_served(open_engine, files):
    checkpoint = ModelFiles("cft-0", files.directory / ".." / files.directory.name / ".")
    with pytest.raises(ModelError, match="--served-model-name elsewhere"):
        open_engine(files=ModelFiles("elsewhere", _copy(files)))
    assert open_engine(files=checkpoint).generate([[3]], Decoding(2))


def _copy(files: ModelFiles) -> Any:
    import shutil

    copy = files.directory.parent / "elsewhere"
    shutil.copytree(files.directory, copy, dirs_exist_ok=True)
    return copy


def test_another_tokenizer_gives_another_model_away(server, open_engine):
    class Reversed:
        eos_token_id = 0

        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            return list(range(len(text)))

    server.tokenizer = Reversed()
    with pytest.raises(ModelError, match="has another tokenizer than"):
        open_engine()


def test_a_key_is_sent_and_asked_for(server, open_engine):
    server.key = "secret"
    with pytest.raises(ModelError, match=r"answers 401 Unauthorized: set the variable"):
        open_engine()
    assert open_engine(key="secret").generate([[3]], Decoding(2))


def test_scores_that_a_server_does_not_give_are_named(open_engine):
    with pytest.raises(ModelError, match="gives no prompt_logprobs, which annotate needs"):
        open_engine().open_stem([1, 2], [3, 4], 3)


def test_as_many_requests_are_under_way_as_there_may_be(server, open_engine):
    engine = open_engine(max_connections=4)
    together = threading.Barrier(4)
    server.before_answer = lambda body: together.wait(timeout=10) and None
    assert len(engine.generate(PROMPTS, Decoding(3))) == 8


def test_a_fork_that_follows_from_a_verdict_enters_while_others_run(server, open_engine):
    engine = open_engine(max_connections=2)
    slow, quick, later = forks_of(engine, PROMPTS[:3])
    has_entered = threading.Event()

    def hold(body: dict[str, Any]) -> None:
        if body["prompt"][0] == later.stem.prompt_ids[0]:
            has_entered.set()
        if body["prompt"][0] == slow.stem.prompt_ids[0]:
            assert has_entered.wait(timeout=10)

    server.before_answer = hold
    due, order = [slow, quick], []
    for batch in engine.continue_forks(lambda: due.pop(0) if due else None, Decoding(6)):
        order += [fork for fork, _ in batch]
        if quick in order and later not in order and not has_entered.is_set():
            due.append(later)
    assert order[0] is quick
    assert set(order) == {slow, quick, later}


def test_a_text_that_the_server_broke_off_goes_on(server, open_engine):
    engine = open_engine()
    server.alter = lambda answer: answer | {"choices": [{"token_ids": [5, 5]}]}
    (completion,) = engine.generate([[3]], Decoding(6))
    assert completion.token_ids == [5] * 6
    assert completion.finish_reason is FinishReason.LENGTH


def test_a_settled_text_ends_long_before_its_limit(server, open_engine):
    engine = open_engine()
    server.complete = lambda body: {
        "choices": [{"token_ids": [5] * body["max_tokens"]}],
        "usage": {"prompt_tokens": len(body["prompt"])},
    }
    before = len(server.bodies)
    engine.context_length = 4000
    (completion,) = engine.generate([[3]], Decoding(3000, is_settled=lambda text: len(text) >= 100))
    assert completion.finish_reason is FinishReason.SETTLED
    assert len(completion.text) == 100
    assert len(server.bodies) - before == 1


def test_samples_differ_by_their_place_and_repeat_with_their_seed(server, open_engine):
    engine = open_engine()
    warm = Decoding(3, temperature=0.7, seed=3)
    seeds = []
    for decoding in (warm, warm, Decoding(3, temperature=0.7, seed=4), Decoding(3)):
        server.bodies.clear()
        engine.generate([[3], [3]], decoding)
        seeds.append(sorted(body["seed"] or 0 for body in server.bodies))
    assert seeds[0] == seeds[1] != seeds[2]
    assert len(set(seeds[0])) == 2
    assert seeds[3] == [0, 0]
