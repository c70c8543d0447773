"""Two real processes learn what one with all lifetimes learns; none outlives another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from spread_worker import WAYS, learn

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.utils.distributed import World

HERE = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes has, by the way of learning."""
    folder = tmp_path_factory.mktemp("two")
    command = [*TORCHRUN, str(HERE / "spread_worker.py"), str(folder)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_have_the_same_parameters_and_log(way, two):
    first, second = (results[way] for results in two)
    assert torch.equal(first["parameters"], second["parameters"])
    assert not torch.equal(first["weights"], second["weights"])
    of_updates = [{k: v for k, v in one["logged"].items() if k.startswith("train/")} for one in (first, second)]
    assert of_updates[0] == of_updates[1] and of_updates[0]


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if way != "own noise"])
def test_two_processes_learn_what_one_with_all_lifetimes_learns(way, two):
    alone, spread = learn(way, World()), two[0][way]
    assert len(alone["gradients"]) == len(spread["gradients"]) == (1 if way in ("critic", "lifetimes") else 0)
    for one, other in zip(alone["gradients"], spread["gradients"], strict=True):
        assert one.abs().max() > 1e-3
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    if not alone["gradients"]:
        assert alone["logged"]["train/rule_step"] > 0.01
        torch.testing.assert_close(spread["parameters"], alone["parameters"], rtol=0, atol=1e-6)
    assert alone["steps"] == spread["steps"]
    assert spread["logged"] == pytest.approx(alone["logged"], rel=1e-4, abs=1e-6)


def test_lifetimes_that_cannot_be_shared_equally_are_refused():
    world = World()
    assert world.share(3) == 3
    world.size = 2
    with pytest.raises(ConfigError, match="num_envs must be a multiple of the 2 processes that share them, got 3"):
        world.share(3)
