"""What the recipe's engine sections become."""

import pytest

from cruxtune.engines.facts import read_facts
from cruxtune.engines.loading import load_both, stop_token_ids
from cruxtune.engines.vllm import llm_settings
from cruxtune.errors import RecipeError
from cruxtune.models import find_model, load_tokenizer
from cruxtune.recipe import load_recipe


def test_what_the_recipe_says_reaches_vllm_and_its_options_come_last():
    settings = llm_settings(
        find_model("tiny"), "bfloat16", 4, "ngram", {"max_num_seqs": 512, "max_logprobs": 50}
    )
    assert settings["tensor_parallel_size"] == 4
    assert settings["speculative_config"]["method"] == "ngram"
    assert settings["dtype"] == "bfloat16"
    assert settings["max_num_seqs"] == 512
    assert settings["max_logprobs"] == 50
    assert llm_settings(find_model("tiny"), "float32")["speculative_config"] is None


@pytest.mark.parametrize("name", ["tiny", "made"])
def test_files_say_what_the_loaded_model_says(name, tiny_files):
    files = find_model("tiny" if name == "tiny" else str(tiny_files))
    facts = read_facts(files, load_tokenizer(files))
    model, tokenizer = load_both(files, False)
    assert facts.stop_token_ids == stop_token_ids(model, tokenizer)
    assert facts.vocab_size == model.get_output_embeddings().weight.size(0)
    assert facts.context_length == model.config.max_position_embeddings
    assert facts.dtype == str(model.dtype).removeprefix("torch.")


def test_settings_of_one_engine_are_refused_for_another():
    with pytest.raises(RecipeError, match="batch_size"):
        load_recipe("tiny", ['engine={type="vllm", batch_size=8}'])
    with pytest.raises(RecipeError, match="url"):
        load_recipe("tiny", ["engine.type=server"])
