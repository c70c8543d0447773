"""Every example runs, and what it prints is what happened."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from quick import small_pngs

from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.report.runs import read_runs
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.tasks import datasets
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.trainers.evolve import evolve
from snn_plasticity_gym.trainers.train_a2c import train

FOLDER = Path(__file__).parents[2] / "examples"
SMALL = {"dataset": "digits", "num_steps": 12, "history_length": 12}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tour_names_every_example():
    listed = re.findall(r"\]\((\w+)\.py\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == sorted(path.stem for path in FOLDER.glob("*.py"))


def test_first_steps(capsys):
    rewards = load("first_steps").main(images=2)
    assert len(rewards) == 2 and all(0 <= reward <= 1 for reward in rewards)
    assert capsys.readouterr().out.count("winner") == 2


def test_write_a_rule(capsys):
    rewards = load("write_a_rule").main(images=8)
    said = capsys.readouterr().out
    assert f"{0.5 * (np.exp(-0.1) - 0.3):+.3f}" in said and "-0.150" in said  # the kernel at 1 ms, and before
    assert set(rewards) == {"my_rule", "target-stdp", "zero"} and rewards["my_rule"] != rewards["zero"]
    assert all(f"reward {reward:.3f}" in said for reward in rewards.values())


@pytest.mark.parametrize(
    "change", ["flipped", *(pytest.param(change, marks=pytest.mark.slow) for change in ("longer", "deaf"))]
)
def test_changed_world(change, capsys):
    few = ["--hidden_sizes=40", "--max_actions=60", "--w_max=1", "--w_init_min=0.1", "--w_init_max=0.4"]  # motors fire
    module = load("changed_world")
    told = module.main(change, episodes=4, networks=3, settings=few)
    lines = capsys.readouterr().out.splitlines()
    assert all(steps.shape == (4, 3) and (steps > 0).all() for steps in told.values())
    frozen = told["frozen"][-1].mean()
    assert lines[-1].endswith(f"frozen {frozen:.0f} ± {told['frozen'][-1].std(ddof=1):.0f}")
    assert (told["plastic"][0] != told["before"][0]).any()
    module.WORLDS = {change: {}}  # nothing changes
    same = module.main(change, episodes=4, networks=3, settings=few)
    assert np.array_equal(same["before"], told["before"]) and not np.array_equal(same["frozen"], told["frozen"])


def test_a_world_that_changes_within_each_episode(capsys):
    few = ["--hidden_sizes=40", "--max_actions=60", "--w_max=1", "--w_init_min=0.1", "--w_init_max=0.4"]
    module = load("changed_world")
    told = module.main("deaf", within=5, episodes=4, networks=3, settings=few)
    said = capsys.readouterr().out
    assert "those that last so long" in said and "frozen 100%" in said and (told["frozen"] > 5).all()
    with pytest.raises(ConfigError, match="does not grow within an episode"):
        module.main("longer", within=5)


def test_turned_digits(monkeypatch):
    monkeypatch.setattr(datasets, "_load_auto", lambda directory: datasets._load_digits())
    load("turned_digits")
    plain = load_dataset("digits")
    made = {name: load_dataset(name) for name in ("turned", "inverted", "mixed-pixels")}
    test = plain.test.images
    assert torch.equal(made["turned"].test.images, test.rot90(1, (1, 2)))
    assert torch.equal(made["inverted"].test.images, 255 - test)
    assert torch.equal(made["mixed-pixels"].test.images.flatten(1).sort()[0], test.flatten(1).sort()[0])
    mixed, spread = made["mixed-pixels"].test.images.float(), test.float()
    assert mixed.diff(dim=2).abs().mean() > 2 * spread.diff(dim=2).abs().mean()  # neighbours are strangers
    for dataset in made.values():
        assert torch.equal(dataset.test.labels, plain.test.labels) and len(dataset.classes) == 10


def test_competitive_learning_copies_images_and_its_opposite_does_not(monkeypatch, capsys):
    module = load("competitive_learning")
    shares = module.main(images=60, networks=2)
    assert shares["towards input"] > 0.7 > 0.3 > shares["zero"]
    towards = module.towards_input
    monkeypatch.setattr(module, "towards_input", lambda events: -towards(events))
    assert module.main(images=60, networks=2)["towards input"] < 0.3


def test_prototypes_of_every_image_answer_as_the_nearest_one_and_few_answer_worse(capsys):
    module = load("prototypes")
    data = load_dataset("digits")
    (few,) = module.main(prototypes=3, searches=1, label_images=400, dataset="digits")
    (many,) = module.main(prototypes=120, searches=1, label_images=400, dataset="digits")
    assert few < 0.4 < 0.8 < many <= 1  # three prototypes name three classes of ten at most
    assert f"search 0: {many:.1%} of {len(data.test.labels)} images" in capsys.readouterr().out


def test_train_with_stock_ppo(capsys):
    model = load("train_with_stock_ppo").main(images=1)
    assert model.num_timesteps == 40 and "40 steps" in capsys.readouterr().out


def test_train_with_event_a2c(capsys):
    before, after = load("train_with_event_a2c").main(updates=6)
    assert after > before + 0.02  # it learns within seconds
    assert f"{after:.3f} after 192 images" in capsys.readouterr().out


def test_read_a_report(tmp_path, capsys):
    flags = ["--preset=semi", "--dataset=digits", "--episodes=64", "--eval_episodes=4", "--seed=0", "--wandb=disabled"]
    flags += ["--image_size=7", "--num_steps=20", "--history_length=20"]
    folder = train([*flags, "--no-progress", "--no-report", f"--run_dir={tmp_path}"])
    module = load("read_a_report")
    report, few = module.report, ["--life_images=3", "--sample_images=2", "--sample_events=400"]
    module.report = lambda flags: report([flag for flag in flags if "life_images" not in flag] + few)
    with small_pngs():
        page = module.main(str(folder))
    said = capsys.readouterr().out
    assert page == folder / "report.html" and page.exists() and f"open {page}" in said
    assert "head 0: delta_d = " in said and re.search(r"reward +-?\d.* before +-?\d.* after", said)


def test_which_reward(capsys):
    tiny = {"dataset": "digits", "n_exc": "5", "num_steps": "8", "history_length": "8", "image_size": "7"}
    tiny |= {"lifetime_length": "40", "plastic_episodes": "16"}
    found = load("which_reward").main(count=4, networks=2, **tiny)
    assert all(len(values) == 4 for values in found.values()) and len(set(found["accuracy"])) > 1
    assert found["learned from"] != found["not seen"] != found["not seen, moved"]
    assert capsys.readouterr().out.count("  reward of images ") == 2 * 3


def test_which_reward_ranks_among_the_best():
    ranks_alike = load("which_reward").ranks_alike
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    rewards = [0.0, 0.1, 0.2, 0.9, 0.8, 0.7]  # the better a good rule is, the less it earns
    assert ranks_alike(rewards, scores, share=0.5) == pytest.approx(-1)
    assert 0 < ranks_alike(rewards, scores, share=1) == pytest.approx(1 - 6 * 8 / (6 * 35))


def test_watch_episode(tmp_path, capsys):
    path = load("watch_episode").main(str(tmp_path / "a.gif"), images=2, every=12, **SMALL)
    film = Image.open(path)
    assert film.n_frames == 4 and film.size == (900, 520)
    first = np.asarray(film.convert("L"), dtype=float)
    film.seek(3)
    assert np.abs(np.asarray(film.convert("L"), dtype=float) - first).max() > 50
    assert capsys.readouterr().out.count("winner") == 2


def test_watch_episode_of_a_run(tmp_path):
    flags = ["--episodes=2", "--num_envs=2", "--eval_episodes=0", "--wandb=disabled", "--no-report", "--no-progress"]
    settings = ["--dataset=digits", "--n_exc=4", "--num_steps=12", "--history_length=12", "--gain_input_exc=8"]
    folder = train([*flags, *settings, "--head_sizes=8,8", f"--run_dir={tmp_path}"])
    path = load("watch_episode").main(str(tmp_path / "a.gif"), str(folder), images=1, every=12)
    assert Image.open(path).n_frames == 2


def test_watch_episode_by_record_video(tmp_path):
    pytest.importorskip("moviepy")
    path = load("watch_episode").main(str(tmp_path / "film.mp4"), images=1, **SMALL)
    assert path.stat().st_size > 1000


def test_an_mp4_without_moviepy_is_refused_before_anything_is_shown(tmp_path, monkeypatch):
    module = load("watch_episode")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install moviepy"):
        module.main(str(tmp_path / "a.mp4"), images=1, **SMALL)


def test_a_film_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.gif or \.mp4"):
        load("watch_episode").main(str(tmp_path / "a.avi"), images=1, **SMALL)


def test_rule_portrait(tmp_path):
    quick = ["--eval_episodes=0", "--episodes=200", "--dataset=digits", "--seed=0", "--wandb=disabled"]
    run = train(["--preset=first-rule", *quick, "--no-progress", "--no-report", f"--run_dir={tmp_path}", "--beside="])
    forming, kernels = load("rule_portrait").main(str(run), str(tmp_path), images=5)
    with Image.open(forming) as animation:
        assert animation.n_frames == 6
    assert Image.open(kernels).size[0] > 800


def test_rule_portrait_refuses_a_run_without_receptive_fields(tmp_path):
    few = ["--episodes=2", "--num_envs=2", "--eval_episodes=0", "--dataset=digits", "--wandb=disabled", "--no-report"]
    run = train(["--env=SNNPlastic-Semi-v0", "--hidden_sizes=4", *few, "--no-progress", f"--run_dir={tmp_path}"])
    with pytest.raises(ConfigError, match="one of Unsup1 or Unsup2"):
        load("rule_portrait").main(str(run), str(tmp_path))


def actions_of(output: str) -> list[int]:
    return [int(found) for found in re.findall(r"(\d+) actions", output)]


def test_pole(tmp_path, capsys):
    path = load("pole").main(str(tmp_path / "pole.gif"), episodes=1)
    before, after = actions_of(capsys.readouterr().out)
    with Image.open(path) as animation:
        assert animation.size == (600, 224)
        assert animation.n_frames >= max(before, after) // 4 + 1


def test_pole_shows_the_champion_of_an_evolution(tmp_path, capsys):
    few = ["--env=SNNPlastic-CartPole-v0", "--episodes=8", "--population=4", "--starts=1", "--test_episodes=2"]
    where = ["--wandb=disabled", "--no-report", "--no-progress", f"--run_dir={tmp_path}"]
    run = evolve([*few, *where, "--seed=3", "--sigma=3"])
    capsys.readouterr()
    load("pole").main(str(tmp_path / "champion.gif"), str(run), seed=5)
    fresh, evolved = actions_of(capsys.readouterr().out)
    env = PlasticityVectorEnv("SNNPlastic-CartPole-v0", **to_dict(read_runs([run])[0].environment()))
    env.reset(seed=5)
    assert int(env.run_episode(make_rule("zero")).reward[0]) == fresh != evolved
