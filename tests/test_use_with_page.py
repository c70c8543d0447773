"""What docs/use_with.md says: sizes of buffers, thresholds, and entries of RL Zoo that make a model."""

import importlib
import re
from pathlib import Path

import gymnasium
import pytest
import yaml
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.buffers import DictReplayBuffer, DictRolloutBuffer
from stable_baselines3.common.env_util import make_vec_env

from snn_plasticity_gym.config.environments import ENVIRONMENTS

PAGE = (Path(__file__).parents[1] / "docs" / "use_with.md").read_text(encoding="utf-8")
ENV_IDS = [env_id for env_id in ENVIRONMENTS if env_id.startswith("SNNPlastic-")]
IMAGE_IDS = [env_id for env_id in ENV_IDS if not hasattr(ENVIRONMENTS[env_id](), "world")]
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)]
ENTRIES = [(env_id, entry) for block in BLOCKS for env_id, entry in block.items()]
PPO_ENTRIES = {env_id: entry for env_id, entry in ENTRIES if "n_steps" in entry}
IMAGES = {"dataset": "digits", "num_steps": 8, "history_length": 8, "events_per_step": 8}
SMALL = {"n_exc": 4}, {"hidden_sizes": (4,)}
OF_THE_ZOO = ("policy", "n_timesteps", "n_envs", "env_kwargs")  # all else is the algorithm's
GIB = 2**30


def rows(heading):
    """Return the cells of the rows of the table under a heading, by id."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\| `.*$", section, re.M)]
    return {cell[0].strip("`"): cell[1:] for cell in cells}


def number(text):
    return int(re.sub(r"[^\d]", "", text))


def held(buffer):
    """Return the bytes of a buffer of one transition."""
    values = [
        part for value in vars(buffer).values() for part in (value.values() if isinstance(value, dict) else [value])
    ]
    return sum(part.nbytes for part in values if hasattr(part, "nbytes"))


def test_each_id_stands_in_both_tables_and_has_an_entry():
    assert list(rows("How long an episode is")) == list(rows("What the buffers hold")) == ENV_IDS
    assert list(PPO_ENTRIES) == ENV_IDS and len(BLOCKS) == len(ENTRIES) == len(ENV_IDS) + 1


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_buffers_have_the_size_that_the_page_says(env_id):
    env = gymnasium.make(env_id, **({"dataset": "digits"} if hasattr(ENVIRONMENTS[env_id](), "dataset") else {}))
    spaces = env.observation_space, env.action_space
    observation = sum(space.sample().nbytes for space in spaces[0].values())
    replay, rollout = held(DictReplayBuffer(1, *spaces)), held(DictRolloutBuffer(1, *spaces))
    shown = [number(cell.replace("4 GiB", "")) for cell in rows("What the buffers hold")[env_id]]
    assert shown == [observation, replay, 4 * GIB // replay, rollout, 4 * GIB // rollout]
    if env_id == "SNNPlastic-Unsup1-v0":
        assert f"would take {replay * 1e6 / GIB:.0f} GiB" in PAGE
        small = gymnasium.make(env_id, dataset="digits", events_per_step=64, history_length=20)
        few = held(DictReplayBuffer(1, small.observation_space, small.action_space))
        assert f"has {few:,} bytes" in " ".join(PAGE.split())


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_thresholds_are_those_of_the_worlds(env_id):
    spec = gymnasium.spec(env_id)
    shown = rows("How long an episode is")[env_id][2].replace("−", "-")
    assert shown == (f"{spec.reward_threshold:g}" if spec.reward_threshold is not None else "None")
    own = env_id not in ("SNNPlastic-Control-v0", *IMAGE_IDS)  # there the world is a setting
    assert spec.reward_threshold == (gymnasium.spec(ENVIRONMENTS[env_id]().world).reward_threshold if own else None)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_no_limit_of_steps_cuts_an_episode_off(env_id):
    """A limit in the spec would be a TimeLimit around each environment, and larger networks need more steps."""
    assert gymnasium.spec(env_id).max_episode_steps is None


@pytest.mark.parametrize(("env_id", "entry"), ENTRIES)
def test_entries_of_the_zoo_make_a_model(env_id, entry):
    """As RL Zoo does: its own keys aside, an entry is keyword arguments of the algorithm."""
    assert not {key: value for key, value in entry.items() if isinstance(value, str) and key != "policy"}  # no 1e-4
    module, _, name = entry["policy"].rpartition(".")
    policy = getattr(importlib.import_module(module), name) if module else name
    world = hasattr(ENVIRONMENTS[env_id](), "world")
    kind = {"max_actions": 20, "events_per_step": 8} if world else IMAGES
    network = SMALL[0] if "Unsup" in env_id else SMALL[1]
    if env_id == "SNNPlastic-Grad-v0":
        network = {"hidden_sizes": (4,), "layer_scalars": (0.5, 1.0)}
    settings = {**kind, **network, **entry.get("env_kwargs", {})}
    env = make_vec_env(env_id, n_envs=entry.get("n_envs", 1), env_kwargs=settings, seed=0)
    arguments = {key: value for key, value in entry.items() if key not in OF_THE_ZOO}
    algorithm = PPO if "n_steps" in entry else SAC
    model = algorithm(policy, env, seed=0, **arguments)
    if algorithm is SAC:
        assert 1.5 * GIB < entry["buffer_size"] * number(rows("What the buffers hold")[env_id][1]) < 2 * GIB
        return
    lengths = [number(part) for part in re.findall(r"[\d,]+", rows("How long an episode is")[env_id][0])]
    assert model.n_steps >= lengths[-1]  # of the mean: each rollout shows an episode's end
    assert (model.n_steps * model.n_envs) % model.batch_size == 0
    held_bytes = number(rows("What the buffers hold")[env_id][3])
    assert model.n_steps * model.n_envs * held_bytes < 2 * GIB


def program(heading):
    """Return the Python block under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.search(r"^```python\n(.*?)^```", section, re.M | re.S)[1]


SMALL_IMAGES = '"dataset": "digits", "num_steps": 8, "history_length": 8, "n_exc": 4'
QUICK = {  # programs by heading: the library that they need, and what makes them quick
    "Stable-Baselines3": ("stable_baselines3", ('"SNNPlastic-Unsup1-v0"', "env"), ("2048", "8")),
    "Optuna": (
        "optuna",
        ('"n_exc": 100', SMALL_IMAGES),
        ("total_timesteps=200 * 100", "total_timesteps=8 * 8"),
        ("n_trials=20", "n_trials=2"),
        ("num_images=64", "num_images=8"),
    ),
    "TorchRL": ("torchrl", ("n_exc=100", f"**{{{SMALL_IMAGES}}}")),
    "A loop of your own": ("torch", ("n_exc=100", f"**{{{SMALL_IMAGES}}}"), ("range(100)", "range(3)")),
}
MUST_HOLD = {
    "Stable-Baselines3": "assert model.num_timesteps == 16",
    "Optuna": "assert len(study.trials) == 2 and 0.001 <= study.best_params['eta_exc'] <= 0.2",
    "TorchRL": "assert bool(rollout['next', 'done'][-1]) and float(rollout['next', 'reward'].sum()) > 0",
    "A loop of your own": "assert len(rewards) == 3 and all(p.grad.abs().sum() > 0 for p in policy.parameters())",
}


@pytest.mark.parametrize("heading", QUICK)
@pytest.mark.filterwarnings("ignore::Warning:torchrl", "ignore::Warning:tensordict")
def test_programs_run(heading):
    library, *changes = QUICK[heading]
    pytest.importorskip(library)
    source = program(heading)
    for given, quick in changes:
        assert given in source
        source = source.replace(given, quick)
    env = "SNNPlastic-Unsup1-v0"
    if heading == "Stable-Baselines3":
        env = gymnasium.make(env, **IMAGES, n_exc=4)
    exec(compile(f"{source}\n{MUST_HOLD[heading]}", heading, "exec"), {"env": env, "__name__": "a_program"})
