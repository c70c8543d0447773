"""Rules as files: what was saved comes back without a trainer, and everything else is refused in one line."""

import copy
import hashlib
import importlib.metadata
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snn_plasticity_gym
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import DESCRIPTION, LARGEST, NUMBERS, save_rule
from snn_plasticity_gym.policies.saved import transfer
from snn_plasticity_gym.trainers import evaluate, train_a2c
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

K = 8
SETTINGS: dict[str, Any] = {"dataset": "digits", "hidden_sizes": (5,), "num_steps": K, "history_length": K}
FLAGS = [
    "--env=SNNPlastic-Semi-v0",
    "--dataset=digits",
    "--hidden_sizes=5",
    f"--num_steps={K}",
    f"--history_length={K}",
]
FACTOR: dict[str, Any] = {**SETTINGS, "third_factor": "feedback", "event_kinds": "feature"}


def random_policy(**settings_: Any) -> PlasticityPolicy:
    env = make_sb3_env("SNNPlastic-Semi-v0", 2, **(FACTOR | settings_))
    policy = PlasticityPolicy(
        env.observation_space, env.action_space, lambda _: 0.0, hidden_sizes=(6, 7), channels=(3, 4),
        kernel_sizes=(3, 5), use_kind=True, sigma=0.25,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return policy


def save(folder: Path, policy: PlasticityPolicy) -> None:
    metrics = {"after": {"reward": 0.5, "stability": float("nan")}}
    description = describe(
        policy.architecture, groups=["semi"], history_length=K, images=7, config=SETTINGS, metrics=metrics,
        versions={"torch": torch.__version__},
    )  # fmt: skip
    save_rule(folder, policy.rule, description)


@pytest.fixture(scope="module")
def policy() -> PlasticityPolicy:
    return random_policy()


@pytest.fixture(scope="module")
def good(tmp_path_factory, policy) -> Path:
    folder = tmp_path_factory.mktemp("good")
    save(folder, policy)
    return folder


def first_events(seed: int = 3):
    env = PlasticityVectorEnv("SNNPlastic-Semi-v0", num_envs=2, **FACTOR)
    env.reset(seed=seed)
    while len((events := env.events()).weight) < 20:
        env.apply(torch.zeros(len(events.weight)))
    return events


@pytest.mark.parametrize("name", ["", NUMBERS, DESCRIPTION])
def test_a_rule_comes_back_as_it_was(name, good, policy):
    rule = snn_plasticity_gym.load_rule(good / name)
    events = first_events()
    assert torch.equal(rule(events), policy.frozen(K)(events)) and rule(events).abs().max() > 0.01
    description = rule.description
    assert description.groups == ["semi"] and description.images == 7 and description.history_length == K
    assert description.architecture.sigma == 0.25 and description.architecture.extra_keys == ("factor",)
    assert description.config["hidden_sizes"] == [5] and description.versions == {"torch": torch.__version__}
    assert description.metrics == {"after": {"reward": 0.5, "stability": None}}
    env = PlasticityVectorEnv("SNNPlastic-Semi-v0", num_envs=2, **FACTOR)
    env.reset(seed=0)
    assert env.run_episode(rule).reward.isfinite().all()


def test_another_training_can_start_from_it(good, policy):
    target = random_policy(third_factor="none")
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.zero_()
    other = copy.deepcopy(target)
    transfer(load_rule(good), target)
    transfer(policy, other)
    for one, two in zip(target.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    assert target.rule.front.conv1.weight.abs().max() > 0


def test_it_takes_no_trainer_to_load_one(good):
    code = (
        "import sys, snn_plasticity_gym; assert 'torch' not in sys.modules; "
        f"rule = snn_plasticity_gym.load_rule({str(good)!r}); "
        "print([m for m in ('stable_baselines3', 'wandb', 'snn_plasticity_gym.runs.folder') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_training_writes_one_and_the_evaluation_reads_it_first(tmp_path):
    short = ["--episodes=4", "--num_envs=2", "--eval_episodes=2", "--seed=1", "--wandb=disabled", "--no-report"]
    run = train_a2c.train([*FLAGS, *short, f"--run_dir={tmp_path}", "--head_sizes=6,7"])
    rule = load_rule(run)
    assert rule.description.images == 4 and set(rule.description.metrics) == {"before", "after"}
    assert rule.description.config["seed"] == 1
    assert rule.description.versions["torch"] == importlib.metadata.version("torch")
    (run / "final.zip").write_bytes(b"no zip: it must not be opened")
    judged = ["--train_episodes=4", "--tests=1", "--test_episodes=8", "--networks=1", "--json"]
    evaluate.evaluate([*FLAGS, *judged, f"--rules={run}"])
    started = [*FLAGS, *short, f"--run_dir={tmp_path}", "--head_sizes=6,7", f"--init_policy={run}"]
    assert load_rule(train_a2c.train(started)).hidden_sizes == (6, 7)


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load_rule(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    return str(error.value)


def write(folder: Path, numbers: bytes, description: Any = None, good: Path | None = None, **changes: Any) -> Path:
    """Rule files whose checksum is right, whatever else is wrong."""
    if description is None:
        assert good is not None
        description = json.loads((good / DESCRIPTION).read_text())
        description["architecture"] |= changes.pop("architecture", {})
        description |= {"checksum": hashlib.sha256(numbers).hexdigest()} | changes
    (folder / NUMBERS).write_bytes(numbers)
    (folder / DESCRIPTION).write_text(json.dumps(description))
    return folder


def tensors_of(good: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load((good / NUMBERS).read_bytes())


def test_what_is_wrong_is_named(good, tmp_path):
    numbers, tensors = (good / NUMBERS).read_bytes(), tensors_of(good)
    name = "heads.0.first.weight"
    packed = safetensors.torch.save
    assert "no rule at" in refusal(tmp_path)
    assert "describes no rule: architecture.kernel_sizes" in refusal(
        write(tmp_path, numbers, good=good, architecture={"kernel_sizes": [3]})
    )
    assert "kernel_sizes must be odd" in refusal(
        write(tmp_path, numbers, good=good, architecture={"kernel_sizes": [4, 3]})
    )
    assert f"{name} must be (6, 9), got (6, 8)" in refusal(
        write(tmp_path, packed({**tensors, name: torch.zeros(6, 8)}), good=good)
    )
    assert "heads.1.first.bias must be absent, got (3,)" in refusal(
        write(tmp_path, packed({**tensors, "heads.1.first.bias": torch.zeros(3)}), good=good)
    )
    missing = {key: value for key, value in tensors.items() if key != name}
    assert f"{name} must be (6, 9), got nothing" in refusal(write(tmp_path, packed(missing), good=good))
    for bad in (torch.full((6, 9), torch.nan), torch.full((6, 9), -torch.inf), torch.zeros(6, 9, dtype=torch.float64)):
        assert "must hold finite float32 numbers" in refusal(write(tmp_path, packed({**tensors, name: bad}), good=good))
    assert "groups must name each of the heads" in refusal(write(tmp_path, numbers, good=good, groups=[]))
    assert "checksum differs" in refusal(write(tmp_path, numbers, good=good, checksum="0" * 64))
    assert "format" in refusal(write(tmp_path, numbers, good=good, format=2))


def test_huge_sizes_take_no_memory(good, tmp_path):
    """Declared sizes are compared with what is there before anything is made of them."""
    numbers = (good / NUMBERS).read_bytes()
    for huge in ({"hidden_sizes": [1 << 14] * 16}, {"num_groups": 64, "hidden_sizes": [1 << 14, 1 << 14]}):
        assert "must" in refusal(
            write(tmp_path, numbers, good=good, architecture=huge, groups=["x"] * huge.get("num_groups", 1))
        )
    assert "hidden_sizes" in refusal(write(tmp_path, numbers, good=good, architecture={"hidden_sizes": [10**30]}))
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    for length in (len(header), 1 << 62):
        assert "is no safetensors file" in refusal(write(tmp_path, struct.pack("<Q", length) + header, good=good))
    write(tmp_path, b"", good=good)
    with (tmp_path / NUMBERS).open("wb") as file:
        file.truncate(LARGEST[NUMBERS] + 1)
    assert "is too large for a rule" in refusal(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["architecture", "groups", "history_length", "images", "checksum", "config", "metrics", "versions", "format"]
SHAPE = ["num_groups", "use_kind", "extra_keys", "hidden_sizes", "channels", "kernel_sizes", "sigma"]


def refused_or_loaded(folder: Path) -> None:
    """Never anything but a rule or a ConfigError of one line."""
    try:
        load_rule(folder)
    except ConfigError as error:
        assert "\n" not in str(error)


@settings(max_examples=60)
@given(data=st.data())
def test_any_description_is_read_or_refused(good, data):
    description = json.loads((good / DESCRIPTION).read_text())
    if data.draw(st.booleans()):
        description[data.draw(st.sampled_from(FIELDS))] = data.draw(JSON)
    else:
        description["architecture"][data.draw(st.sampled_from(SHAPE))] = data.draw(JSON)
    with tempfile.TemporaryDirectory() as folder:
        refused_or_loaded(write(Path(folder), (good / NUMBERS).read_bytes(), description))


@settings(max_examples=60)
@given(data=st.data(), name=st.sampled_from([NUMBERS, DESCRIPTION]))
def test_any_bytes_are_read_or_refused(good, data, name):
    content = bytearray((good / name).read_bytes())
    what = data.draw(st.sampled_from(["cut", "flip", "random"]))
    if what == "cut":
        content = content[: data.draw(st.integers(0, len(content)))]
    elif what == "flip":
        for _ in range(data.draw(st.integers(1, 4))):  # most of a file of numbers is numbers: mainly its header
            content[data.draw(st.integers(0, min(len(content), 1500) - 1))] = data.draw(st.integers(0, 255))
    else:
        content = bytearray(data.draw(st.binary(max_size=64)))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), bytes(content) if name == NUMBERS else (good / NUMBERS).read_bytes(), good=good)
        if name == DESCRIPTION:
            (Path(folder) / name).write_bytes(content)
        refused_or_loaded(Path(folder))


def test_a_deep_description_is_refused(good, tmp_path):
    write(tmp_path, (good / NUMBERS).read_bytes(), good=good)
    (tmp_path / DESCRIPTION).write_text("[" * 100_000)
    assert "describes no rule" in refusal(tmp_path)


@pytest.mark.parametrize("fails", [NUMBERS, DESCRIPTION])
def test_a_rule_that_cannot_be_written_whole_is_no_rule(fails, tmp_path, policy, monkeypatch):
    import os

    real = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == fails:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, policy)
    assert "no rule at" in refusal(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_shape_that_is_written_is_that_of_the_networks(policy):
    assert policy.architecture == policy.rule.architecture
    assert policy.architecture.hidden_sizes == (6, 7) and policy.architecture.extra_keys == ("factor",)
