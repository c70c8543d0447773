"""Policies from run folders, and what another training takes over from them."""

import zipfile
from pathlib import Path

import pytest
import stable_baselines3
import torch
import yaml

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.ppo import EventPPO
from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.saved import load_policy, transfer
from snn_plasticity_gym.trainers import train_a2c
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

K = 8
UNSUP = {"dataset": "digits", "n_exc": 4, "num_steps": K, "history_length": K, "events_per_step": 16}
DEEP = {"dataset": "digits", "hidden_sizes": (5,), "num_steps": K, "history_length": K, "events_per_step": 16}
SETTINGS = {
    "unsup2": ("SNNPlastic-Unsup2-v0", UNSUP),
    "unsup2 split": ("SNNPlastic-Unsup2-v0", UNSUP | {"event_kinds": "split"}),
    "grad": ("SNNPlastic-Grad-v0", DEEP | {"layer_scalars": (0.5, 1.0)}),
    "semi": ("SNNPlastic-Semi-v0", DEEP),
    "semi factor": ("SNNPlastic-Semi-v0", DEEP | {"third_factor": "feedback"}),
}


def model_of(name: str, algorithm=EventA2C, seed: int = 0, **policy):
    """A model whose parameters are all random, biases and last layers too."""
    env_id, settings = SETTINGS[name]
    arguments = {"hidden_sizes": (12, 9)} | policy
    model = algorithm("PlasticityPolicy", make_sb3_env(env_id, 2, **settings), seed=seed, policy_kwargs=arguments)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def policy_of(name: str, seed: int = 0, **policy) -> PlasticityPolicy:
    return model_of(name, seed=seed, **policy).policy


def state_of(group: int, extras: torch.Tensor | None = None, num_events: int = 30) -> LocalState:
    generator = torch.Generator().manual_seed(7)
    return LocalState(
        histories=pack((torch.rand(9, K, generator=generator) < 0.4).to(torch.uint8)),
        history_length=K,
        pair_pre=torch.randint(9, (13,), generator=generator),
        pair_post=torch.randint(9, (13,), generator=generator),
        pair=torch.randint(13, (num_events,), generator=generator),
        weight=torch.rand(num_events, generator=generator) * 2 - 1,
        group=torch.full((num_events,), group),
        kind=torch.randint(3, (num_events,), generator=generator).to(torch.uint8),
        extras=torch.empty(num_events, 0) if extras is None else extras,
    )


def factors(seed: int) -> torch.Tensor:
    return 3.0 * torch.randn(30, 1, generator=torch.Generator().manual_seed(seed))


def answers(policy: PlasticityPolicy, state: LocalState) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return policy.evaluate_events(state)


@pytest.mark.parametrize("algorithm", [EventA2C, EventPPO])
def test_a_policy_comes_back_from_a_zip_and_from_a_run_folder(tmp_path, algorithm):
    model = model_of("unsup2", algorithm, use_kind=True, sigma=0.3, channels=(4, 6), kernel_sizes=(3, 5))
    model.save(tmp_path / "final.zip")
    for path in (tmp_path, tmp_path / "final.zip", str(tmp_path)):
        policy = load_policy(path)
        assert policy.use_kind and policy.sigma == 0.3 and policy.hidden_sizes == (12, 9) and policy.num_groups == 2
        assert not policy.training
        for group in (0, 1):
            torch.testing.assert_close(
                answers(policy, state_of(group)), answers(model.policy, state_of(group)), rtol=0, atol=0
            )


def test_scalars_of_the_environment_come_back_too(tmp_path):
    for name, keys in (("grad", ["layer"]), ("semi factor", ["factor"]), ("semi", [])):
        model_of(name).save(tmp_path / "final.zip")
        assert load_policy(tmp_path).extra_keys == keys


def refusal(path) -> str:
    with pytest.raises(ConfigError) as error:
        load_policy(path)
    message = str(error.value)
    assert "\n" not in message and str(path) in message
    return message


def rewritten(path: Path, target: Path, **members: bytes | None) -> Path:
    """The zip with some members replaced, or left out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = members.get(name.replace(".", "_"), old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


def test_what_is_no_policy_is_refused_in_one_line(tmp_path):
    empty = tmp_path / "run"
    empty.mkdir()
    for path in (empty, tmp_path / "none.zip", tmp_path / "none"):
        assert "give the folder of a finished run, or its final.zip" in refusal(path)

    text = tmp_path / "text.zip"
    text.write_text("no zip at all")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    stock = stable_baselines3.A2C("MlpPolicy", "CartPole-v1", seed=0)
    stock.save(tmp_path / "stock.zip")
    model_of("semi").save(tmp_path / "good.zip")
    whole = (tmp_path / "good.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    rewritten(tmp_path / "good.zip", tmp_path / "nodata.zip", data=b"{}")
    rewritten(tmp_path / "good.zip", tmp_path / "nopolicy.zip", policy_pth=None)
    for name in ("text", "other", "stock", "cut", "nodata", "nopolicy"):
        assert "holds no policy of this project" in refusal(tmp_path / f"{name}.zip")


def test_a_reason_is_given(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    assert not refusal(tmp_path / "other.zip").rstrip().endswith(":")


def test_damaged_parameters_are_refused_in_one_line(tmp_path):
    model_of("semi").save(tmp_path / "good.zip")
    rewritten(tmp_path / "good.zip", tmp_path / "damaged.zip", policy_pth=b"no tensors")
    assert "holds no policy of this project" in refusal(tmp_path / "damaged.zip")


def test_a_factor_that_the_source_did_not_see_is_ignored():
    source, target = policy_of("unsup2"), policy_of("semi factor", seed=1)
    before = answers(target, state_of(0, factors(1)))
    transfer(source, target)
    wanted = answers(source, state_of(0))
    for seed in (1, 2):
        torch.testing.assert_close(answers(target, state_of(0, factors(seed))), wanted)  # means and values
    assert (before[0] - wanted[0]).abs().max() > 0.05


def test_a_factor_that_both_see_is_taken_over():
    source, target = policy_of("semi factor"), policy_of("semi factor", seed=1)
    transfer(source, target)
    state = state_of(0, factors(1))
    torch.testing.assert_close(answers(target, state), answers(source, state))
    assert (answers(source, state)[0] - answers(source, state_of(0, factors(2)))[0]).abs().max() > 0.05


def test_a_layer_is_no_factor():
    source, target = policy_of("grad"), policy_of("semi factor", seed=1)
    transfer(source, target)
    wanted = answers(source, state_of(0, torch.zeros(30, 1)))
    torch.testing.assert_close(answers(target, state_of(0, factors(1))), wanted)


def test_heads_take_over_heads_in_their_order():
    one, two, four = policy_of("semi"), policy_of("unsup2", seed=1), policy_of("unsup2 split", seed=2)
    for source, target, mapping in ((one, four, (0, 0, 0, 0)), (two, four, (0, 0, 1, 1)), (four, two, (0, 2))):
        transfer(source, target)
        for group, old in enumerate(mapping):
            torch.testing.assert_close(answers(target, state_of(group)), answers(source, state_of(old)))
    transfer(two, one)
    torch.testing.assert_close(answers(one, state_of(0)), answers(two, state_of(0)))


def test_kinds_are_taken_over_where_both_see_them():
    plain, kinds = policy_of("semi"), policy_of("unsup2", seed=1, use_kind=True)
    both = policy_of("semi factor", seed=2, use_kind=True)
    state = state_of(0, factors(1))
    transfer(kinds, both)  # weight, kind; weight, kind, factor
    torch.testing.assert_close(answers(both, state), answers(kinds, state_of(0)))
    transfer(plain, both)
    torch.testing.assert_close(answers(both, state), answers(plain, state_of(0)))
    transfer(kinds, plain)  # a kind of none of the three
    without = kinds.rule.heads[0].first.weight[:, :33].detach()
    assert torch.equal(plain.rule.heads[0].first.weight.detach(), without)


def test_the_source_stays_as_it_is_and_lives_its_own_life():
    source, target = policy_of("unsup2"), policy_of("semi", seed=1)
    before = [parameter.clone() for parameter in source.parameters()]
    transfer(source, target)
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(1.0)
    assert all(map(torch.equal, before, source.parameters()))
    assert all(parameter.requires_grad for parameter in target.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"hidden_sizes": (12, 8)},
            "the policy to start from has head_sizes (12, 8), this one (12, 9)",
        ),
        ({"hidden_sizes": (12,)}, "the policy to start from has head_sizes (12,), this one (12, 9)"),
        ({"channels": (4, 6)}, "the policy to start from has channels (4, 6), this one (16, 32)"),
        ({"kernel_sizes": (3, 5)}, "the policy to start from has kernel_sizes (3, 5), this one (5, 5)"),
    ],
)
def test_other_widths_are_refused(arguments, message):
    source, target = policy_of("unsup2", **arguments), policy_of("semi", seed=1)
    before = [parameter.clone() for parameter in target.parameters()]
    with pytest.raises(ConfigError) as error:
        transfer(source, target)
    assert str(error.value) == message
    assert all(map(torch.equal, before, target.parameters()))


def flags(settings: dict) -> list[str]:
    texts = {name: ",".join(map(str, v)) if isinstance(v, tuple) else v for name, v in settings.items()}
    return [f"--{name}={value}" for name, value in texts.items()]


def test_a_training_starts_from_the_policy_of_another_one(tmp_path, monkeypatch, capsys):
    short = [
        "--num_envs=2",
        "--eval_episodes=0",
        "--wandb=disabled",
        "--no-report",
        "--seed=1",
        "--no-progress",
        f"--run_dir={tmp_path}",
    ]
    first = train_a2c.train(
        [
            "--env=SNNPlastic-Unsup2-v0",
            *flags(UNSUP),
            *short,
            "--episodes=2",
            "--head_sizes=12,9",
            "--learning_rate=0.01",
        ]
    )
    semi = ["--env=SNNPlastic-Semi-v0", *flags(DEEP | {"third_factor": "feedback"}), *short, "--episodes=4"]
    still = ["--learning_rate=1e-12", "--critic_learning_rate=1e-12", "--head_sizes=12,9"]
    second = train_a2c.train([*semi, *still, f"--init_policy={first}"])
    assert yaml.safe_load((second / "config.yaml").read_text())["init_policy"] == str(first)
    source, target = load_policy(first), load_policy(second)
    torch.testing.assert_close(answers(target, state_of(0, factors(1))), answers(source, state_of(0)))
    learned = train_a2c.train([*semi, "--head_sizes=12,9", "--learning_rate=0.01", f"--init_policy={first}/final.zip"])
    factor_weights = load_policy(learned).rule.heads[0].first.weight[:, -1]
    assert factor_weights.abs().max() > 1e-4  # it learns what to do with the factor

    for name, extra, message in (
        ("nowhere", [f"--init_policy={tmp_path / 'nowhere'}", "--head_sizes=12,9"], "no rule at"),
        ("widths", [f"--init_policy={first}", "--head_sizes=12,8"], "head_sizes (12, 9), this one (12, 8)"),
    ):
        monkeypatch.setattr("sys.argv", ["train_a2c", *semi, *extra, f"--run_name={name}"])
        assert train_a2c.main() == 1
        err = capsys.readouterr().err
        assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not list(tmp_path.rglob("nowhere")) and not list(tmp_path.rglob("widths/final.zip"))
