"""Responses of others: where they are read from, and the token ids that they become."""

import json
from dataclasses import replace

import pytest
from handmade import make_tokenizer, with_space_before

from cruxtune.errors import ArtifactError, CruxtuneError, ProblemError, SelectionError
from cruxtune.models import find_model
from cruxtune.recipe.sources import FileSolutions, RunSolutions
from cruxtune.records import FinishReason, Position, Problem, Rollout, Solution, TokenWeights, Verdict
from cruxtune.select import Coverage, text_of, token_bytes
from cruxtune.stages.offline import encode_exactly, joined_text, read_file, read_run
from cruxtune.stages.other_run import OtherRun
from cruxtune.store import Manifest, ModelIdentity, StageWriter

PROBLEMS = [Problem("p/0", "How many?", "12"), Problem("p/1", "And now?", "7")]


@pytest.fixture(scope="module")
def qwen():
    return make_tokenizer("")


@pytest.fixture(scope="module")
def llama():
    return make_tokenizer("{1,3}")


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_name_problems_by_id_or_by_question(tmp_path):
    rows = [("p/1", "So 7."), ("How many? ", "It is ½ of 24."), ("p/1", "7!")]
    path = write(tmp_path / "r.jsonl", *({"problem": key, "response": text} for key, text in rows))
    found = read_file(FileSolutions(path=path), PROBLEMS, "web")
    assert [(r.id, r.problem.id, r.text) for r in found] == [
        ("p/1#web-1", "p/1", "So 7."),
        ("p/0#web-2", "p/0", "It is ½ of 24."),
        ("p/1#web-3", "p/1", "7!"),
    ]
    assert {r.finish_reason for r in found} == {FinishReason.STOP}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "p/0", "response": "12"}, "row 1: there is no column 'problem', only 'id', 'response'"),
        (
            {"problem": "p/0", "text": "12"},
            "there is no column 'response', only 'problem', 'text'",
        ),
        ({"problem": "p/9", "response": "12"}, "row 1: 'p/9' is neither the id nor the question of one of"),
        ({"problem": "p/0", "response": " "}, "row 1: the column 'response' holds no text"),
        ({"problem": "p/0", "response": None}, "row 1: the column 'response' holds no text"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, said):
    with pytest.raises(ProblemError) as refused:
        read_file(FileSolutions(path=write(tmp_path / "r.jsonl", row)), PROBLEMS, "web")
    assert said in str(refused.value)


def test_no_responses_are_refused(tmp_path):
    empty = write(tmp_path / "empty.jsonl")
    blank = tmp_path / "blank.jsonl"
    blank.write_text("\n\n")
    for path, said in (
        (empty, "is empty"),
        (blank, "holds no responses"),
        (tmp_path / "x", "there is no file"),
    ):
        with pytest.raises(ProblemError, match=said):
            read_file(FileSolutions(path=path), PROBLEMS, "web")


@pytest.mark.parametrize(
    ("prompt", "response", "joined"),
    [
        ("Answer:", "So 7", " So 7"),
        ("Answer:", "  So 7", " So 7"),
        ("assistant\n", " So 7", "So 7"),
        ("assistant\n", "\nSo 7", "\nSo 7"),
    ],
)
def test_a_response_follows_its_prompt_after_one_space(prompt, response, joined):
    assert joined_text(prompt, response) == joined


@pytest.mark.parametrize("text", [" It is ½ of 1234 €.\n", "三 ", " 5"])
def test_ids_write_exactly_the_text(qwen, llama, text):
    for tokenizer in (qwen, llama):
        assert text_of(token_bytes(tokenizer, encode_exactly(tokenizer, text))) == text


def test_a_tokenizer_that_puts_a_space_before_texts_does_not_put_two():
    tokenizer = with_space_before()
    ids = encode_exactly(tokenizer, " 5.")
    assert text_of(token_bytes(tokenizer, ids)) == " 5."


def test_what_a_tokenizer_takes_for_a_special_token_is_left_out(qwen):
    assert encode_exactly(qwen, " 12<|endoftext|> more") is None


class Source:
    """Another run, written by hand with a tokenizer of one's own."""

    def __init__(self, path, tokenizer, make_solution):
        self.path, self.tokenizer = path, tokenizer
        model = path / "model"
        tokenizer.save_pretrained(model)
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(b"")
        self.run = OtherRun(RunSolutions(path=path, model=str(model)))
        sha = find_model(str(model)).identity().tokenizer_sha256
        names = {"name": str(model), "revision": None}
        self.identity = ModelIdentity(**names, weights_sha256="w", tokenizer_sha256=sha)
        texts = (" It is ½ of 1234, so 617.", " 7")
        self.solutions = [
            make_solution(p.id, (*tokenizer(text).input_ids, tokenizer.eos_token_id), text=text)
            for p, text in zip(PROBLEMS, texts, strict=True)
        ]
        wrong = replace(make_solution("p/0", (1,), Verdict.INCORRECT), id="p/0-wrong")
        self.write("solve", (Problem, PROBLEMS), (Solution, [*self.solutions, wrong]))

    def write(self, stage, *tables):
        verb = stage.partition("/")[0]
        manifest = Manifest(stage=verb, settings={}, model=self.identity, inputs={}, versions={})
        with StageWriter(self.path / stage, manifest) as writer:
            for record_type, records in tables:
                writer.write_part(0, record_type, records)
            writer.finish({})

    def annotate(self, make_rollout, *ids):
        rows = [Position(id, 0, 1, "x", 0.5, 1.0, 1.0, [], []) for id in ids]
        rollouts = [make_rollout(0, 2, Verdict.INCORRECT, solution_id=id) for id in ids]
        self.write("annotate", (Position, rows), (Rollout, rollouts))


@pytest.fixture
def source(tmp_path, qwen, make_solution):
    return Source(tmp_path / "other", qwen, make_solution)


def taken(source, tokenizer, identity=None):
    """Its solutions as those of a model with that tokenizer."""
    identity = identity or ModelIdentity(name="mine", revision=None, weights_sha256="m", tokenizer_sha256="t")
    return read_run(source.run, PROBLEMS, "other", tokenizer, identity)


def as_solutions(responses, tokenizer, make_solution):
    return [
        make_solution(
            r.id, tuple(r.token_ids or [*encode_exactly(tokenizer, r.text), tokenizer.eos_token_id])
        )
        for r in responses
    ]


def test_ids_are_taken_as_they_are_where_the_tokens_are_the_same(source, qwen):
    same = source.identity.model_copy(update={"name": "mine"})
    by_hash, by_tokens = taken(source, None, same), taken(source, make_tokenizer(""))
    assert by_hash == by_tokens
    assert [r.id for r in by_hash] == ["p/0#other", "p/1#other"]
    assert [r.token_ids for r in by_hash] == [s.completion.token_ids for s in source.solutions]


def test_texts_are_taken_where_the_tokens_are_other_ones(source, llama):
    responses = taken(source, llama)
    assert [(r.text, r.token_ids) for r in responses] == [(" It is ½ of 1234, so 617.", None), (" 7", None)]


def test_only_solutions_with_evidence_are_taken_where_there_is_any(source, qwen, make_rollout):
    source.annotate(make_rollout, "p/1")
    source.run = OtherRun(RunSolutions(path=source.path))
    assert [r.id for r in taken(source, qwen)] == ["p/1#other"]


def test_evidence_is_that_of_the_solutions_that_were_taken(source, qwen, make_rollout, make_solution):
    source.annotate(make_rollout, "p/0", "p/1")
    mine = as_solutions(taken(source, qwen), qwen, make_solution)
    first, second = source.run.evidence(mine, "other")
    assert (first.solution_id, second.solution_id) == ("p/0#other", "p/1#other")
    assert first.at(0)[2].verdict is Verdict.INCORRECT and first.num_tokens == len(
        mine[0].completion.token_ids
    )


def test_evidence_on_other_tokens_is_refused_with_what_to_take(source, llama, make_rollout, make_solution):
    mine = as_solutions(taken(source, llama), llama, make_solution)
    with pytest.raises(SelectionError, match="has no annotate/: run `annotate` there"):
        source.run.evidence(mine, "other")
    source.annotate(make_rollout, "p/0", "p/1")
    with pytest.raises(
        SelectionError, match="take type = 'transferred', which goes by characters, or 'score'"
    ):
        source.run.evidence(mine, "other")


def select_in(source, character):
    """The other run's selection: its tokens that write a character, and the stop token of the second."""
    rows = []
    for solution in source.solutions:
        pieces = token_bytes(source.tokenizer, solution.completion.token_ids)
        rows.append(TokenWeights(solution.id, [float(character.encode() in piece) for piece in pieces]))
    rows[1].loss_weights[-1] = 1.0
    source.write("select/cft", (TokenWeights, rows))


def pieces_of(solutions, tokenizer):
    return [token_bytes(tokenizer, s.completion.token_ids) for s in solutions]


def test_weights_go_by_character_to_other_tokens_and_as_they_are_to_the_same(
    source, qwen, llama, make_solution
):
    select_in(source, "3")
    same = as_solutions(taken(source, qwen), qwen, make_solution)
    weights, coverage = source.run.weights("cft", same, "other", pieces_of(same, qwen))
    assert coverage is None and [sum(row) for row in weights] == [1.0, 1.0]
    mine = as_solutions(taken(source, llama), llama, make_solution)
    pieces = pieces_of(mine, llama)
    weights, coverage = source.run.weights("cft", mine, "other", pieces)
    selected = [
        p for row, own in zip(pieces, weights, strict=True) for p, w in zip(row, own, strict=True) if w
    ]
    assert selected == [b"123", b""]
    assert coverage == Coverage(num_selected=1, num_covered=1, num_extra=2)


def test_a_selection_that_is_not_there_is_named(source, qwen, make_solution):
    mine = as_solutions(taken(source, qwen), qwen, make_solution)
    with pytest.raises(ArtifactError, match=r"select/cft is missing: run `select` first"):
        source.run.weights("cft", mine, "other", pieces_of(mine, qwen))
    source.write("select/cft", (TokenWeights, [TokenWeights("p/0", [1.0])]))
    with pytest.raises(SelectionError, match=r"select/cft has no weights for p/1#other"):
        source.run.weights("cft", mine, "other", pieces_of(mine, qwen))


@pytest.mark.parametrize(
    ("problems", "said"),
    [
        (PROBLEMS[:1], "solves p/1, which is none of this recipe's problems"),
        (
            [PROBLEMS[0], replace(PROBLEMS[1], answer="8")],
            "solves p/1, which is another problem in this recipe",
        ),
    ],
)
def test_runs_on_other_problems_are_refused(source, qwen, problems, said):
    with pytest.raises(ArtifactError, match=said):
        read_run(source.run, problems, "other", qwen, source.identity)


def test_a_tokenizer_that_is_not_that_of_the_run_is_refused(source, llama, tmp_path):
    source.run = OtherRun(RunSolutions(path=source.path, model=source.identity.name))
    llama.save_pretrained(source.identity.name)
    with pytest.raises(CruxtuneError, match="was made with another tokenizer than that of"):
        taken(source, llama)
