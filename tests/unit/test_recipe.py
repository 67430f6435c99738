"""The recipe: what it accepts, what it refuses, and how it says so."""

import typing
from pathlib import Path

import pytest

from cruxtune.errors import RecipeError
from cruxtune.problems.prompts import TEMPLATES
from cruxtune.recipe import Recipe, find_recipe, load_recipe, parse_recipe, shipped_recipes
from cruxtune.recipe import recipe as recipe_module
from cruxtune.recipe.references import BUILT_IN
from cruxtune.recipe.rules import ClassTokens, FormulaTokens, StrictRule, UnionRule
from cruxtune.recipe.sections import PromptSection
from cruxtune.recipe.sources import FileProblems, Gsm8kProblems
from cruxtune.recipe.uses import rules_behind
from cruxtune.records import AnswerKind
from cruxtune.select import TokenClass

SMALL = """
[problems]
type = "synthetic"
[select]
sft = { type = "all" }
cft = { type = "strict" }
random = { type = "random", match = "cft" }
[evaluate.benchmarks]
test = { type = "synthetic", split = "test" }
"""


def complaint(*overrides: str, text: str = SMALL) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_parses_under_its_own_name(name):
    assert load_recipe(name).name == name.replace("/", "-")


def test_the_template_parses_and_spells_out_the_defaults():
    template = load_recipe(Path(recipe_module.__file__).with_name("template.toml"))
    assert isinstance(template.problems, Gsm8kProblems)
    defaults = parse_recipe(SMALL)
    assert template.prompt == defaults.prompt
    assert template.verify == defaults.verify
    assert template.solve == defaults.solve
    assert template.annotate == defaults.annotate
    assert template.engine == defaults.engine


def test_what_the_recipe_leaves_out_has_its_default():
    recipe = parse_recipe(SMALL, default_name="mine")
    assert recipe.name == "mine"
    assert recipe.output_dir == Path("runs/mine")
    assert recipe.model.name == "tiny"
    assert recipe.annotate.k == 3 and recipe.annotate.mode == "lazy"
    assert recipe.select["cft"] == StrictRule(k=3, min_alternative_prob=0.0)


def test_an_engine_is_a_trunk_unless_it_says_otherwise():
    assert parse_recipe(SMALL, ["engine.batch_size=4"]).engine.type == "trunk"
    assert parse_recipe(SMALL, ["engine.type=reference"]).engine.type == "reference"


def test_the_file_goes_over_the_defaults_and_an_override_over_the_file():
    text = SMALL + "[annotate]\nk = 4\npart_size = 2\n"
    assert parse_recipe(text).annotate.k == 4
    recipe = parse_recipe(text, ["annotate.k=5"])
    assert (recipe.annotate.k, recipe.annotate.part_size) == (5, 2)


def test_an_override_takes_toml_and_plain_words():
    recipe = parse_recipe(
        SMALL,
        [
            "train.seeds=[4, 5]",
            "train.learning_rate=1e-4",
            "train.bf16=true",
            "model.name=Qwen/Qwen2.5-3B",
            'prompt.template="direct"',
            "select.cft.k=2",
        ],
    )
    assert recipe.train.seeds == (4, 5)
    assert recipe.train.learning_rate == 1e-4
    assert recipe.train.bf16 is True
    assert recipe.model.name == "Qwen/Qwen2.5-3B"
    assert recipe.prompt.template == "direct"
    assert recipe.select["cft"] == StrictRule(k=2)


def test_an_override_names_a_new_section():
    recipe = parse_recipe(SMALL, ["select.wide={type = 'union', k = 2}", "train.lora.r=4"])
    assert recipe.select["wide"] == UnionRule(k=2)
    assert recipe.train.lora is not None and recipe.train.lora.r == 4


@pytest.mark.parametrize("override", ["train.seeds", "=3", "  =3"])
def test_an_override_without_key_or_value_is_refused(override):
    assert "write section.key=value" in complaint(override)


def test_an_override_below_a_value_is_refused():
    assert "k is a value, not a section" in complaint("annotate.k=3", "annotate.k.x=3")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trian.seeds=[0]", "unknown key `trian`: did you mean `train`?"),
        ("train.learningrate=1", "unknown key `train.learningrate`: did you mean `train.learning_rate`?"),
        ("select.cft.min_prob=0.1", "unknown key `select.cft.min_prob`: did you mean"),
        ("problems.num_problem=3", "unknown key `problems.num_problem`: did you mean"),
        ("evaluate.benchmarks.test.spilt='hard'", "unknown key `evaluate.benchmarks.test.spilt`"),
        ("train.lora.rank=4", "unknown key `train.lora.rank`"),
    ],
)
def test_a_typo_names_the_key_and_the_nearest_one(override, expected):
    message = complaint(override)
    assert message.startswith(expected.replace("train.learning_rate", "learning_rate"))


def test_a_key_like_no_other_lists_the_known_ones():
    assert complaint("report.zzz=1") == "unknown key `report.zzz`: known here are num_solutions, baseline"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("annotate.k=1", "`annotate.k`"),
        ("train.num_epochs=0", "`train.num_epochs`"),
        ("train.num_epochs=nan", "`train.num_epochs`"),
        ("train.learning_rate=inf", "`train.learning_rate`"),
        ("select.cft.min_alternative_prob=1.5", "`select.cft.min_alternative_prob`"),
        ("annotate.mode=quick", "`annotate.mode`"),
        ("prompt.template=cott", "`prompt.template`"),
        ("train.lr_scheduler=cosin", "`train.lr_scheduler`"),
        ("train.seeds=[-1]", "`train.seeds.0`"),
        ("train.seeds=[]", "`train.seeds`"),
        ("evaluate.seed=-1", "`evaluate.seed`"),
        ("select.random.seed=-1", "`select.random.seed`"),
        ("problems.seed=-1", "`problems.seed`"),
        ("model.revision=1234567", "`model.revision`"),
        ("name=../elsewhere", "`name`"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_itself(override, expected):
    message = complaint(override)
    assert message.startswith(expected) and "(found " in message


def test_all_complaints_come_at_once():
    message = complaint("annotate.k=1", "solve.part_size=0")
    assert "`annotate.k`" in message and "`solve.part_size`" in message


def test_a_missing_section_and_a_missing_type_are_named():
    assert complaint(text="[problems]\ntype = 'gsm8k'\n").startswith(
        "`select` is missing; `evaluate` is missing"
    )
    assert complaint("problems.type=gsm9").startswith("`problems`")
    assert complaint(text=SMALL.replace('{ type = "all" }', "{}")) == (
        "`select.sft.type` is missing: it says which kind this is"
    )


def test_the_type_tells_sources_and_rules_apart():
    recipe = parse_recipe(
        SMALL.replace('type = "synthetic"\n[', 'type = "file"\npath = "a.csv"\nkind = "choice"\n[')
    )
    assert recipe.problems == FileProblems(path=Path("a.csv"), kind=AnswerKind.CHOICE)
    assert "unknown key `problems.path`" in complaint("problems.path=a.csv")


def test_training_needs_selections_that_exist():
    message = complaint("train.selections=['sft', 'cfd']")
    assert message.startswith("train.selections names 'cfd', which is neither under [select] nor in train.")
    assert message.endswith(": sft, cft, random")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["select.random.match=nothing"], "select.random: 'nothing' is neither under [select] nor built in"),
        (["select.random.match=random"], "select.random: 'random' needs a number: random@0.1"),
        (["select.random.share=0.1"], "give `match` (a selection whose count is matched) or `share`, one of"),
        (["select.random={type='random'}"], "`select.random`: give `match`"),
        (["select.random={type='random', share=0.0}"], "`select.random.share`"),
        (["select.random={type='random', share=1.1}"], "`select.random.share`"),
        (
            ["select.mine='cft & '"],
            "`select.mine.formula`: expected a name or '(', found its end at ▸ in 'cft & ▸'",
        ),
        (["select.random.match='cft |'"], "`select.random.match`: expected a name"),
        (["select.mine='cft & entrpy@0.1'"], "select.mine: 'entrpy' is neither under [select] nor built in"),
        (["select.mine='cft - nunber'"], "did you mean 'number'?"),
        (["select.mine='cft-number'"], "put spaces around '-' where it is meant as an operator"),
        (["select.mine='entropy@0'"], "'entropy@0': a share is above 0 and at most 1"),
        (["select.mine='entropy@1.5'"], "'entropy@1.5': a share is above 0 and at most 1"),
        (["select.mine='entropy'"], "'entropy' needs a number: entropy@0.1"),
        (["select.mine='prefix'"], "'prefix' needs a number: prefix@8"),
        (["select.mine='prefix@2.5'"], "'prefix@2.5': prefix takes a whole number of tokens"),
        (["select.mine='cft@2'"], "'cft@2': cft takes no number"),
        (["select.mine='number@2'"], "'number@2': number takes no number"),
        (["select.mine='mine & cft'"], "select.mine: 'mine' is neither under [select] nor built in"),
        (
            ["select.a='b & cft'", "select.b='c'", "select.c='number | a'"],
            "select.a leads back to itself: a → b → c → a",
        ),
        (
            ["select.a={type='entropy', match='b'}", "select.b='a | cft'"],
            "select.a leads back to itself: a → b → a",
        ),
        (["select.mine='strict5'"], "select.mine: strict5.k = 5 is above annotate.k = 3"),
        (["select.mine='union & number'"], "select.mine: union is 'union', which needs every alternative"),
        (["select.mine=''"], "found its end"),
        (["select.mine={type='class', of='digits'}"], "`select.mine.of`"),
        (["select.mine={type='prefix', num_tokens=0}"], "`select.mine.num_tokens`"),
    ],
)
def test_a_selection_that_can_not_be_made_is_refused_in_one_line(overrides, expected):
    assert expected in complaint(*overrides)


def test_a_plain_string_is_a_formula():
    recipe = parse_recipe(SMALL, ["select.mine=cft & number", "select.rest='all - (mine | stop)'"])
    assert recipe.select["mine"] == FormulaTokens(formula="cft & number")
    assert recipe.select["rest"] == FormulaTokens(formula="all - (mine | stop)")
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_selection_may_have_the_name_of_the_built_in_one_that_it_takes():
    recipe = parse_recipe(SMALL, ["select.number='number'", "select.both='number & cft'"])
    assert {use.name: use.rule for use in rules_behind("both", recipe.select)} == {
        "both": FormulaTokens(formula="number & cft"),
        "number": ClassTokens(of=TokenClass.NUMBER),
        "cft": StrictRule(),
    }


def test_every_built_in_name_stands_for_something():
    recipe = parse_recipe(SMALL, ["annotate.mode=eager", f"select.mine='{' | '.join(BUILT_IN)}'"])
    assert [use.name for use in rules_behind("mine", recipe.select)] == ["mine", *BUILT_IN]


def test_a_rule_wants_no_more_ranks_than_are_annotated():
    assert complaint("select.cft.k=4") == "select.cft.k = 4 is above annotate.k = 3: raise the latter"


@pytest.mark.parametrize("type", ["union", "graded"])
def test_rules_over_all_alternatives_need_eager_annotation(type):
    rule = f"select.wide={{type = '{type}'}}"
    assert "set annotate.mode = 'eager'" in complaint(rule)
    parse_recipe(SMALL, [rule, "annotate.mode=eager"])
    parse_recipe(SMALL, [f"select.wide={{type = '{type}', k = 2}}"])


def test_micro_batches_divide_the_batch():
    assert "not a multiple" in complaint("train.batch_size=16", "train.micro_batch_size=5")


@pytest.mark.parametrize("key", ["selections=['sft', 'sft']", "seeds=[0, 1, 0]"])
def test_a_run_is_trained_once(key):
    assert f"train.{key.partition('=')[0]} names" in complaint(f"train.{key}")


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x"])
@pytest.mark.parametrize("section", ["select", "evaluate.benchmarks"])
def test_names_that_become_directories_are_plain(section, name):
    text = SMALL + f'[{section}."{name}"]\ntype = "{"all" if section == "select" else "synthetic"}"\n'
    assert section in complaint(text=text)


def test_no_selection_takes_the_name_of_the_base_model():
    assert "select.base" in complaint("select.base={type = 'all'}")


def test_every_prompt_template_can_be_named():
    names = typing.get_args(PromptSection.model_fields["template"].annotation)
    assert set(names) == set(TEMPLATES)


def test_a_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse_recipe(SMALL).annotate.k = 5


def test_a_recipe_survives_its_own_json():
    recipe = parse_recipe(SMALL, ["train.lora.r=4"])
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_file_goes_before_a_shipped_recipe_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe("tiny") == shipped_recipes()["tiny"]
    (tmp_path / "tiny").write_text(SMALL)
    assert find_recipe("tiny") == Path("tiny")


def test_an_unknown_recipe_is_told_what_ships_and_how_to_begin():
    with pytest.raises(RecipeError, match=r"no recipe file 'tyni'.*tiny.*cruxtune init"):
        find_recipe("tyni")


def test_broken_toml_is_located():
    assert "at line 2" in complaint(text="[train]\nseeds = = 3")


def test_a_byte_order_mark_does_no_harm_and_other_encodings_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL, encoding="utf-8-sig")
    assert load_recipe(path).name == "mine"
    path.write_text('name = "é"' + SMALL, encoding="latin-1")
    with pytest.raises(RecipeError, match=r"can't read the recipe .*mine\.toml"):
        load_recipe(path)


def test_a_baseline_that_is_not_evaluated_is_refused():
    assert load_recipe("tiny", ["report.baseline=random"]).report.baseline == "random"
    with pytest.raises(RecipeError, match=r"report\.baseline names 'union', which is not evaluated"):
        load_recipe("tiny", ["report.baseline=union"])


def test_a_method_differs_in_what_it_sets_and_in_nothing_else():
    methods = "train.methods={dft={selection='sft', objective='dft', lora=false}, cft={num_epochs=1}}"
    train = parse_recipe(SMALL, [methods, "train.lora={r=4}", "train.learning_rate=1e-4"]).train
    general = train.of("sft")
    assert general.lora is not None and general.lora.r == 4 and general.learning_rate == 1e-4
    assert train.of("dft") == general.model_copy(update={"objective": "dft", "lora": None})
    assert train.of("cft") == general.model_copy(update={"num_epochs": 1.0})
    assert [train.selection_of(name) for name in ("sft", "cft", "dft")] == ["sft", "cft", "sft"]


def test_a_method_is_written_as_it_was_set():
    methods = {"dft": {"selection": "sft", "objective": "dft"}}
    train = parse_recipe(SMALL, ["train.methods={dft={selection='sft', objective='dft'}}"]).train
    assert train.model_dump(mode="json")["methods"] == methods


def test_methods_start_from_each_other_in_any_number():
    methods = "train.methods={b={selection='cft', after='sft'}, c={selection='cft', after='b', num_epochs=1}}"
    train = parse_recipe(SMALL, [methods]).train
    assert train.line("c") == ["sft", "b", "c"] and train.line("cft") == ["cft"]


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ("{b={selection='cft', after='sfd'}}", "train.methods.b.after names 'sfd', which is neither under"),
        ("{b={after='sft'}}", "train.methods.b trains on 'b', which is not under [select]: sft, cft, random"),
        (
            "{b={selection='cft', after='c'}, c={selection='cft', after='b'}}",
            "starts from its own checkpoint",
        ),
        ("{sft={after='sft'}}", "train.methods.sft starts from its own checkpoint: sft"),
        ("{base={selection='sft'}}", "train.methods.base: that is what reports call the base model"),
        ("{sft={batch_size=3}}", "train.methods.sft.batch_size = 3 is not a multiple of its"),
        ("{sft={learning_rat=1}}", "did you mean `learning_rate`?"),
        ("{sft={seeds=[1]}}", "unknown key `train.methods.sft.seeds`"),
    ],
)
def test_methods_that_can_not_be_trained_are_refused(methods, expected):
    assert expected in complaint(f"train.methods={methods}")


def test_an_unknown_objective_is_refused():
    assert "'weighted', 'dft' or 'eaft' (found 'dtf')" in complaint("train.objective=dtf")


SWEEP = "validation={num_problems=4}"


def grid_of(*overrides):
    recipe = parse_recipe(SMALL, [SWEEP, "train.batch_size=16", "train.micro_batch_size=16", *overrides])
    return [dict(trial.point) for trial in recipe.sweep.trials(recipe.train.of("cft"))]


def test_the_grid_of_the_paper_depends_on_whether_adapters_are_trained():
    for override, rates in (((), (2e-6, 5e-6, 2e-5)), (("train.lora={}",), (2e-5, 5e-5, 2e-4))):
        expected = [{"batch_size": b, "learning_rate": r} for b in (16, 32, 128) for r in rates]
        assert grid_of("sweep.grid=paper", *override) == expected


def test_a_grid_varies_any_setting_and_keeps_the_others():
    recipe = parse_recipe(SMALL, [SWEEP, "sweep.grid={num_epochs=[1, 2], objective=['dft']}"])
    settings = recipe.train.of("cft")
    first, second = recipe.sweep.trials(settings)
    assert first.name == "num_epochs=1,objective=dft"
    assert second.settings == settings.model_copy(update={"num_epochs": 2.0, "objective": "dft"})


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["sweep.grid=paper"], "[sweep] chooses on held-out problems: add [validation] with num_problems"),
        (
            [SWEEP, "sweep.grid={learning_rat=[1]}"],
            "sweep.grid: unknown key `learning_rat`: did you mean `le",
        ),
        ([SWEEP, "sweep.grid={}"], "should have at least 1 item"),
        ([SWEEP, "sweep.grid={learning_rate=[-1]}"], "sweep.grid: `learning_rate`: Input should be greater"),
        ([SWEEP, "sweep.grid={report_to=[['wandb']]}"], "sweep.grid varies report_to, which changes no resu"),
        ([SWEEP, "sweep.grid={learning_rate=[1, 1]}"], "sweep.grid has a point twice"),
        ([SWEEP, "sweep.grid={learning_rate=[]}"], "at least 1 item"),
        ([SWEEP, "sweep.grid={batch_size=[3]}"], "batch_size = 3 is not a multiple of"),
        ([SWEEP, "sweep.methods=['graded']"], "sweep.methods names 'graded', which is not trained: sft, cft"),
        ([SWEEP, "sweep.seeds=[1, 1]"], "sweep.seeds names the same twice: 1, 1"),
    ],
)
def test_a_sweep_that_can_not_be_made_is_refused(overrides, expected):
    with pytest.raises(RecipeError) as found:
        parse_recipe(SMALL, overrides)
    assert expected in str(found.value)
