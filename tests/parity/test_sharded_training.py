"""accelerate's configurations that ship: what accelerate reads in them, and training on shards."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sharded
import torch
from accelerate.commands import launch
from accelerate.utils import (
    DeepSpeedPlugin,
    FullyShardedDataParallelPlugin,
    prepare_deepspeed_cmd_env,
    prepare_multi_gpu_env,
)
from safetensors.torch import load_file
from torch.distributed.fsdp import MixedPrecisionPolicy, StateDictType
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

from cruxtune.recipe import shipped_recipes


def launched(name: str, *options: str) -> tuple[Any, dict[str, str]]:
    """What `accelerate launch` makes of a configuration: its arguments, and variables for the processes."""
    file = str(shipped_recipes("yaml")[name])
    wanted = ["--config_file", file, *options, "-m", "cruxtune", "train", "my.toml"]
    caught: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "multi_gpu_launcher", caught.append)
        patch.setattr(launch, "deepspeed_launcher", caught.append)
        launch.launch_command(launch.launch_command_parser().parse_args(wanted))
    (arguments,) = caught
    if arguments.use_deepspeed:
        return arguments, prepare_deepspeed_cmd_env(arguments)[1]
    return arguments, prepare_multi_gpu_env(arguments)


@pytest.mark.parametrize("name", shipped_recipes("yaml"))
def test_accelerate_launches_eight_processes_of_the_command(name):
    arguments, variables = launched(name)
    assert (arguments.num_processes, arguments.num_machines) == (8, 1)
    assert (arguments.module, arguments.training_script) == (True, "cruxtune")
    assert arguments.training_script_args == ["train", "my.toml"]
    assert variables["ACCELERATE_MIXED_PRECISION"] == "bf16"


def test_fsdp2_is_what_accelerate_reads(monkeypatch):
    arguments, variables = launched("accelerate/fsdp2-8gpu")
    assert arguments.use_fsdp and not arguments.use_deepspeed
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    plugin.set_mixed_precision(variables["ACCELERATE_MIXED_PRECISION"])
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy is transformer_auto_wrap_policy
    assert plugin.state_dict_type is StateDictType.SHARDED_STATE_DICT
    assert not plugin.activation_checkpointing and not plugin.cpu_ram_efficient_loading
    assert isinstance(plugin.mixed_precision_policy, MixedPrecisionPolicy)
    assert plugin.mixed_precision_policy.param_dtype is torch.bfloat16


@pytest.mark.parametrize("stage", [2, 3])
def test_zero_is_what_accelerate_reads(monkeypatch, stage):
    arguments, variables = launched(f"accelerate/deepspeed-zero{stage}-8gpu")
    assert arguments.use_deepspeed and not arguments.use_fsdp
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    plugin = DeepSpeedPlugin()
    assert plugin.zero_stage == stage
    assert plugin.zero3_save_16bit_model is (stage == 3)
    config = plugin.deepspeed_config
    assert config["gradient_accumulation_steps"] == config["gradient_clipping"] == "auto"
    assert config["zero_optimization"]["stage"] == stage
    assert config["zero_optimization"]["offload_optimizer"]["device"] == "none"


@pytest.mark.slow
def test_two_processes_with_shards_train_as_one_with_all(tmp_path):
    _, variables = launched("accelerate/fsdp2-8gpu", "--mixed_precision", "no")
    torchrun(tmp_path / "sharded", {**variables, "ACCELERATE_TORCH_DEVICE": "cpu"})
    sharded.main(tmp_path / "whole", is_sharded=False)
    for run in sharded.RUNS:
        one, other = (tmp_path / kind / run for kind in ("whole", "sharded"))
        assert len(log_of(one)) == 4
        for whole, in_shards in zip(log_of(one), log_of(other), strict=True):
            assert in_shards == pytest.approx(whole, rel=1e-3), run
        assert_same_weights(one, other)


def log_of(run: Path) -> list[dict[str, float]]:
    """But for what is measured of a process's own part of a step."""
    lines = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert "entropy_other" in lines[0] and "grad_norm" in lines[0]
    return [{k: v for k, v in line.items() if k not in ("entropy", "mean_token_accuracy")} for line in lines]


def assert_same_weights(one: Path, other: Path) -> None:
    whole, in_shards = (load_file(path / "model" / "model.safetensors") for path in (one, other))
    assert whole.keys() == in_shards.keys()
    for name, value in whole.items():
        torch.testing.assert_close(in_shards[name], value, rtol=1e-3, atol=1e-5)


def torchrun(directory: Path, variables: dict[str, str]) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
            *("sharded.py", str(directory)),
        ],
        cwd=Path(__file__).parent,
        check=True,
        timeout=300,
        env={**os.environ, **variables, "OMP_NUM_THREADS": "1"},
    )
