"""The real command, what it learns from digits and from a pole, and runs that go on as if they had never stopped."""

from pathlib import Path

import pytest
import torch
from cut_runs import assert_goes_on_bit_for_bit, result_of, rows_of
from processes import as_command

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.trainers import train_svpg
from snn_plasticity_gym.trainers.sessions import svpg_session

ROOT = Path(__file__).parents[2]
FLAGS = ["--dataset=digits", "--hidden_groups=8", "--episodes=4000", "--eval_every=1000", "--checkpoint_every=500"]
FLAGS += ["--batch_size=20", "--seed=1", "--wandb=disabled", "--no-report", "--learning_rate=0.002"]
POLE = ["--world=CartPole-v1", "--observation_scale=0.4,0.4,4,0.4", "--hidden_groups=2", "--group_size=4"]
POLE += ["--episodes=20", "--eval_every=10", "--checkpoint_every=5", "--batch_size=5", "--eval_episodes=3"]
POLE += ["--test_episodes=3", "--seed=2", "--wandb=disabled", "--no-report"]


@as_command
def test_the_command_learns_digits_from_reward_alone(run, tmp_path):
    done = run(ROOT / "trainers" / "train_svpg.py", *FLAGS, "--episodes=12000", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SVPG, contrast, 784-8x10-10: 12000 episodes of digits" in done.stdout
    (run,) = (tmp_path / "runs" / "SVPG").iterdir()
    assert result_of(run)["test"] > 0.5
    counts = [int(row["time/episodes"]) for row in rows_of(run)[:-1]]
    assert counts == sorted(counts) and len(counts) == 12 and counts[-1] == 12000
    assert set(torch.load(run / "weights.pt", weights_only=True)) == {"inputs", "lateral", "bias"}


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(FLAGS, id="images"),
        pytest.param([*FLAGS, "--spikes", "--episodes=2000"], id="spikes", marks=pytest.mark.slow),
        pytest.param([*FLAGS, "--rule=paper"], id="paper", marks=pytest.mark.slow),
        pytest.param(POLE, id="pole"),
    ],
)
def test_a_run_that_ended_goes_on_bit_for_bit(flags, tmp_path):
    learner_type = svpg_session.WorldLearner if flags is POLE else svpg_session.ImageLearner
    assert_goes_on_bit_for_bit(train_svpg.train, learner_type, flags, tmp_path)


@pytest.mark.parametrize("rule", ["backprop", "mlp", pytest.param("bptt", marks=pytest.mark.slow)])
def test_the_controls_learn_too(rule, tmp_path):
    flags = [*FLAGS, "--episodes=12000", "--hidden_size=50"]
    run = train_svpg.train([*flags, f"--rule={rule}", f"--run_dir={tmp_path}"])
    assert result_of(run)["test"] > 0.4


def test_what_cannot_be_is_refused_in_one_line(tmp_path, capsys):
    def refusal(*flags: str) -> str:
        with pytest.raises(SystemExit):
            train_svpg.train([*flags, f"--run_dir={tmp_path}"])
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    assert "spikes need rule contrast, got paper" in refusal("--spikes", "--rule=paper")
    assert "epochs=3 need clip_range" in refusal("--epochs=3")
    assert "need a world, got none" in refusal("--clip_range=0.2")
    assert "got neither" in refusal("--hidden_groups=0", "--no-input_to_action")
    assert "unknown preset 'svpg'" in refusal("--preset=svpg")
    with pytest.raises(ConfigError, match="observation_scale must be 4 numbers"):
        train_svpg.train(["--world=CartPole-v1", "--observation_scale=1,2", f"--run_dir={tmp_path}"])
    with pytest.raises(ConfigError, match="action_values at least two of its values"):
        train_svpg.train(["--world=Pendulum-v1", f"--run_dir={tmp_path}"])
    assert not list(tmp_path.iterdir())


def test_the_processor_is_left_as_it_was(tmp_path):
    """Rates next to zero are zero while a network learns; the state is the whole process's."""
    small = torch.tensor(2.0**-130)
    train_svpg.train([*FLAGS, "--episodes=100", f"--run_dir={tmp_path}"])
    assert float(small * 0.5) == 2.0**-131


def test_presets_arrive():
    for name in ("svpg-mnist", "svpg-spikes", "svpg-cartpole", "svpg-pendulum"):
        config = parse_config(SVPGConfig, [f"--preset={name}"])
        assert config.preset == name and bool(config.world) == (name in ("svpg-cartpole", "svpg-pendulum"))


def test_a_pole_of_mujoco_is_balanced_from_reward_alone(tmp_path):
    """Without any push it falls within two dozen actions."""
    pytest.importorskip("mujoco")
    flags = ["--preset=svpg-pendulum", "--episodes=150", "--eval_every=50", "--eval_episodes=5", "--test_episodes=5"]
    run = train_svpg.train([*flags, "--seed=0", "--wandb=disabled", "--no-report", f"--run_dir={tmp_path}"])
    assert result_of(run)["test"] > 60
