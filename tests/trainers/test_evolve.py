"""Evolution of weights: the real command, what it finds, and runs that go on as if they had never stopped."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from processes import as_command, kill, spread, start
from quick import small_pngs
from safetensors.torch import load_file

from snn_plasticity_gym.config.control_worlds import CartPoleConfig, MountainCarConfig
from snn_plasticity_gym.config.evolve import STRATEGIES, EvolveConfig, observation_of
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.population_evaluator import PopulationEvaluator
from snn_plasticity_gym.learners.weight_evolution import WeightEvolution
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.trainers import evolve
from snn_plasticity_gym.utils.distributed import World

ROOT = Path(__file__).parents[2]
CAR = [
    "--env=SNNPlastic-MountainCar-v0",
    "--max_actions=20",
    "--fitness=highest:0",
    "--encoder_kwargs",
    '{"fields": 6, "period": 2}',
]
SHORT = [
    *CAR,
    "--population=4",
    "--episodes=40",
    "--test_episodes=3",
    "--test_every=3",
    "--checkpoint_every=8",
    "--seed=3",
]
QUIET = ["--wandb=disabled", "--no-report"]


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "time/seconds"} for row in csv.DictReader(file)]


def result_of(run: Path) -> dict:
    return {name: value for name, value in json.loads((run / "result.json").read_text()).items() if name != "seconds"}


def assert_same_run(one: Path, other: Path) -> None:
    weights, others = (load_file(run / "weights.safetensors") for run in (one, other))
    assert weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)
    assert rows_of(one) == rows_of(other) and len(rows_of(one)) == 11
    assert result_of(one) == result_of(other)
    assert (one / "hall_of_fame.json").read_text() == (other / "hall_of_fame.json").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    return evolve.evolve([*SHORT, *QUIET, f"--run_dir={tmp_path_factory.mktemp('whole')}", "--run_name=run"])


@as_command
def test_the_command_evolves_and_leaves_a_whole_run_folder(run, tmp_path):
    flags = [*SHORT, "--wandb=disabled", "--no-report"]
    done = run(ROOT / "trainers" / "evolve.py", *flags, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"cma-diagonal over 75 weights of 12-5-3 neurons that act in MountainCar-v0", done.stdout)
    assert re.search(r"return in 3 test episodes -20\.0", done.stdout)
    (run,) = (tmp_path / "runs" / "SNNPlastic-MountainCar-v0").iterdir()
    rows = rows_of(run)
    assert [row["time/episodes"] for row in rows[:-1]] == [str(4 * n) for n in range(1, 11)]
    assert [n for n, row in enumerate(rows, 1) if row["test/return"]] == [3, 6, 9, 10]
    fame = json.loads((run / "hall_of_fame.json").read_text())
    assert [one["fitness"] for one in fame] == sorted((one["fitness"] for one in fame), reverse=True)
    assert max(float(row["train/fitness_best"]) for row in rows[:-1]) == fame[0]["fitness"]


def test_the_best_is_named_by_generation_and_start_so_that_it_can_be_lived_again(whole):
    """The first of the hall of fame, given the episodes of the seed that stands beside it, is as fit as it says."""
    fame = json.loads((whole / "hall_of_fame.json").read_text())
    config = MountainCarConfig(max_actions=20, encoder_kwargs='{"fields": 6, "period": 2}')
    evaluator = PopulationEvaluator("SNNPlastic-MountainCar-v0", config, 2)
    genome = evaluator.genome((1.0,), 0.0)
    for one in fame[:3]:
        scores = evaluator.play(genome, np.array([one["coordinates"]] * 2), [one["start"]] * 2, 1)
        assert scores.highest[:, 0, 0].tolist() == [one["fitness"]] * 2


def test_individuals_of_a_generation_live_through_the_same_episodes_and_those_of_the_next_through_others():
    evaluator = PopulationEvaluator("SNNPlastic-CartPole-v0", CartPoleConfig(noise=0.2), 3)
    genome = evaluator.genome((0.3,), 0.0)
    random = np.random.default_rng(0)
    individual = random.standard_normal((1, genome.size)).repeat(3, axis=0)
    same = evaluator.play(genome, individual, [5, 5, 5], 2)
    assert (same.returns == same.returns[:1]).all() and (same.highest == same.highest[:1]).all()
    assert not np.array_equal(same.highest[0, 0], same.highest[0, 1])
    others = evaluator.play(genome, individual, [5, 6, 7], 1)
    assert np.array_equal(others.highest[0, 0], same.highest[0, 0])
    assert len(np.unique(others.highest[:, 0, 0])) == 3


def test_nothing_in_an_individual_learns():
    evaluator = PopulationEvaluator(
        "SNNPlastic-CartPole-v0", CartPoleConfig(eta=1.0, third_factor="targeted", modulation="factor"), 2
    )
    genome = evaluator.genome((0.3,), 0.0)
    given_weights = np.random.default_rng(0).standard_normal((2, genome.size))
    evaluator.play(genome, given_weights, [1, 2], 3)
    for row in range(2):
        np.testing.assert_allclose(genome.coordinates(row), np.clip(given_weights[row], -1 / 0.3, 1 / 0.3), rtol=1e-5)


@pytest.mark.parametrize("strategy", ["openai-es", "cma-diagonal"])
@pytest.mark.parametrize("sign", [1, -1], ids=["up", "down"])
def test_a_pole_is_kept_up_by_evolution_and_dropped_by_its_opposite(strategy, sign, monkeypatch):
    settings = {"sigma": 0.5, "step_size": 0.3, "weight_unit": (0.3,), "smoothness": 3.0, "test_episodes": 20}
    config = EvolveConfig(env="SNNPlastic-CartPole-v0", strategy=strategy, population=16, episodes=480, **settings)
    network = CartPoleConfig(
        hidden_sizes=(), w_min=-10.0, w_max=10.0, max_actions=100, decoder_kwargs='{"group_size": 4}'
    )
    right = WeightEvolution._fitness
    monkeypatch.setattr(WeightEvolution, "_fitness", lambda self, scores: sign * right(self, scores))
    evolution = WeightEvolution(config, network, 0, World())
    rows = list(evolution.generations())
    assert evolution.finished and len(rows) == 30
    found = evolution.test()["return"]
    assert (found > 60.0) if sign > 0 else (found < 20.0)


@pytest.mark.parametrize("episodes", [4, 16])
def test_a_run_that_ended_after_any_generation_goes_on(episodes, whole, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def generations(evolution):
        for row in right(evolution):
            yield row
            if evolution.episodes >= episodes:
                raise Killed

    right = WeightEvolution.generations
    with monkeypatch.context() as patch:
        patch.setattr(WeightEvolution, "generations", generations)
        with pytest.raises(Killed):
            evolve.evolve([*SHORT, *QUIET, f"--run_dir={tmp_path}", "--run_name=run"])
    run = tmp_path / "SNNPlastic-MountainCar-v0" / "run"
    assert not (run / "weights.safetensors").exists()
    assert_same_run(whole, evolve.evolve([f"--resume={run}"]))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_goes_on_bit_for_bit_to_more_episodes(strategy, tmp_path):
    flags = [*SHORT, *QUIET, f"--strategy={strategy}", f"--run_dir={tmp_path}"]
    wanted = evolve.evolve([*flags, "--run_name=whole"])
    begun = evolve.evolve([*flags, "--run_name=begun", "--episodes=20"])
    told, more = (
        Checkpoints(run / "checkpoints").newest()["evolution"]["told"]
        for run in (wanted, evolve.evolve([f"--resume={begun}", "--episodes=40"]))
    )
    assert told == more and len(told) == 10


def test_a_killed_run_loses_nothing(whole, tmp_path):
    run = tmp_path / "SNNPlastic-MountainCar-v0" / "run"
    process = start(evolve, [*SHORT, *QUIET, f"--run_dir={tmp_path}", "--run_name=run"], tmp_path / "errors.txt")
    while process.is_alive() and not list(run.glob("checkpoints/*.pt")):
        process.join(0.01)
    kill(process, 0.0)
    if not (run / "result.json").exists():
        evolve.evolve([f"--resume={run}"])
    assert_same_run(whole, run)


def test_two_processes_share_a_population_and_find_the_same(whole, tmp_path):
    assert spread(evolve, [*SHORT, *QUIET, f"--run_dir={tmp_path}", "--run_name=run"], tmp_path) == [0, 0]
    assert_same_run(whole, tmp_path / "SNNPlastic-MountainCar-v0" / "run")


def test_a_report_shows_the_champion(tmp_path):
    with small_pngs():
        run = evolve.evolve([*SHORT, "--wandb=disabled", f"--run_dir={tmp_path}", "--run_name=run"])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "The champion" in page and "Hall of fame" in page
    drawn = {path.stem for path in (run / "report").glob("*.png")}
    assert drawn >= {"champion_map", "champion_fields", "champion_raster", "curves_reward"}


def test_what_cannot_be_is_refused_in_one_line(whole, tmp_path, capsys):
    def refusal(*flags: str) -> str:
        with pytest.raises(SystemExit):
            evolve.evolve([*flags])
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    assert "unknown environment 'SNNPlastic-Unsup1-v0'" in refusal("--env=SNNPlastic-Unsup1-v0")
    assert "population must be even, got 5" in refusal("--strategy=openai-es", "--population=5")
    assert "elites are those of strategy genetic" in refusal("--elites=1")
    assert "elites must be fewer than population=4" in refusal("--strategy=genetic", "--elites=4", "--population=4")
    assert "fitness must be return or highest:N" in refusal("--fitness=highest:x")
    with pytest.raises(ConfigError, match="observations 0 to 1 of MountainCar-v0, got 2"):
        evolve.evolve(["--fitness=highest:2", f"--run_dir={tmp_path}"])
    with pytest.raises(ConfigError, match=r"has had its 40 episodes; continue with larger --episodes"):
        evolve.evolve([f"--resume={whole}"])
    with pytest.raises(ConfigError, match=r"weight_unit must be one number, or 2 of them"):
        evolve.evolve(["--weight_unit=1,2,3", f"--run_dir={tmp_path}"])
    assert not list(tmp_path.iterdir())


@given(st.text(max_size=12))
def test_a_fitness_is_one_that_is_known(text):
    if text == "return" or re.fullmatch(r"highest:[0-9]+", text):
        assert observation_of(text) == (None if text == "return" else int(text[8:]))
    else:
        with pytest.raises(ConfigError, match="fitness must be return or highest:N"):
            observation_of(text)
