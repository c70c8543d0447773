"""A step is a matter of integration: a spike has a charge, a rate is per ms, and halving `dt` changes neither."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.classification import TEST_SEED, examine
from snn_plasticity_gym.networks.decoder_registry import make_decoder
from snn_plasticity_gym.networks.differentiable import forward
from snn_plasticity_gym.networks.encoders import poisson_encode
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Population, Projection, pulse
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.utils.row_streams import RowUniforms

CPU = torch.device("cpu")
STEPS = (1.0, 0.5, 0.25)  # ms
PLAIN = LIFParams(tau_mem=20.0, v_rest=-65.0, v_reset=-65.0, v_th=-52.0, resistance=40.0)


def network(dt: float, gain: float, one_to_one: bool = False, loops: bool = True, lif: LIFParams = PLAIN) -> Network:
    """One input neuron, one neuron, weight 1."""
    projection = Projection("in_e", "in", "e", gain=gain, one_to_one=one_to_one)
    made = Network([Population("in", 1), Population("e", 1, lif)], [projection], 1, dt, CPU, torch.float64, loops)
    made.weights.fill_(1.0)
    return made


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("one_to_one", [False, True])
@pytest.mark.parametrize("dt", [1.0, 0.5, 0.1])
def test_a_spike_moves_the_membrane_by_the_same_whatever_the_step(dt: float, one_to_one: bool, loops: bool) -> None:
    """Issue: one spike at weight 1 moved it by 1.0, 0.5 and 0.1 mV at dt = 1, 0.5 and 0.1."""
    one = network(dt, 3.0, one_to_one, loops)
    one.advance({"in": torch.tensor([[True]])})
    assert one.states["e"].v.item() == pytest.approx(-65.0 + 3.0 * 40.0 / 20.0, rel=1e-12)


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.1])
def test_so_it_does_where_the_network_is_differentiable(dt: float) -> None:
    spikes = torch.ones(1, 1, 1, dtype=torch.float64)
    activity = forward([torch.ones(1, 1, dtype=torch.float64)], spikes, PLAIN, dt, [3.0], lambda x: (x > 0).double())
    assert activity.potentials[0].item() == pytest.approx(-59.0, rel=1e-12)


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.1])
def test_a_current_from_outside_is_no_charge(dt: float) -> None:
    """It flows for as long as it is given, here 1 ms."""
    one = network(dt, 1.0, lif=PLAIN._replace(tau_mem=1e6, resistance=2e6))
    for _ in range(round(1 / dt)):
        one.advance({"in": torch.tensor([[False]])}, None, {"e": torch.tensor([[0.7]], dtype=torch.float64)})
    assert one.states["e"].v.item() == pytest.approx(-65.0 + 2.0 * 0.7, rel=1e-5)


def test_at_a_step_of_1_ms_charge_and_current_are_one_number() -> None:
    assert pulse(0.8, 1.0) == 0.8


def test_the_membrane_converges_to_its_exact_course_in_first_order() -> None:
    """Spikes at 0, 3, 7 and 12 ms; at 30 ms the error halves with the step."""
    times, end = (0, 3, 7, 12), 30
    exact = sum(2.0 * math.exp(-(end - t) / PLAIN.tau_mem) for t in times)  # mV above rest
    errors = []
    for dt in (1.0, 0.5, 0.25, 0.125):
        one = network(dt, 1.0)
        for step in range(round(end / dt) + 1):
            one.advance({"in": torch.tensor([[step * dt in times]])})
        errors.append(abs(one.states["e"].v.item() + 65.0 - exact))
    ratios = [after / before for before, after in itertools.pairwise(errors)]
    assert errors[0] > 0.05 and all(0.45 < ratio < 0.55 for ratio in ratios)


def test_a_regular_input_makes_as_many_spikes_whatever_the_step() -> None:
    """A spike every 2 ms for 2 s, 2 mV each: dead at dt = 0.25 if it were a current of one step."""
    counts = []
    for dt in STEPS:
        one = network(dt, 1.0)
        fired = 0
        for step in range(round(2000 / dt)):
            fired += int(one.advance({"in": torch.tensor([[step * dt % 2 == 0]])}).spikes["e"].item())
        counts.append(fired)
    assert counts[0] > 50
    assert counts == pytest.approx([counts[-1]] * 3, rel=0.05)


def spikes_of(env_id: str, dt: float, images: int = 6, **settings: object) -> dict[str, int]:
    """Total spikes of the same images for the same time."""
    steps = round(settings.pop("duration") / dt)  # type: ignore[operator]
    env = PlasticityVectorEnv(env_id, num_envs=8, dataset="digits", num_steps=steps, dt=dt, **settings)
    env.reset(seed=0)
    total: dict[str, int] = {}
    for _ in range(images):
        for name, counts in env.run_episode(make_rule("zero")).spikes.items():
            total[name] = total.get(name, 0) + int(counts.sum())
    return total


def test_halving_the_step_twice_leaves_a_network_as_it_is() -> None:
    """Issue: ten images made 24 spikes of E at dt = 1, and 319 at dt = 0.5; nothing else is changed here but `dt`."""
    found = [spikes_of("SNNPlastic-Unsup1-v0", dt, duration=100, n_exc=50, history_length=10) for dt in STEPS]
    for population in ("input", "exc", "inh"):
        first, second, third = (total[population] for total in found)
        assert first > 500
        assert second == pytest.approx(first, rel=0.12) and third == pytest.approx(second, rel=0.12), population


def test_halving_the_step_twice_leaves_a_classifier_alive() -> None:
    """A membrane of 20 ms, so that a step of 1 ms is small."""
    sizes = {"history_length": 8, "hidden_sizes": (40, 20), "image_pool": 10, "tau_mem": 20.0, "resistance": 20.0}
    found = [spikes_of("SNNPlastic-Semi-v0", dt, duration=16, max_rate=0.1, **sizes) for dt in STEPS]
    for population in ("input", "hidden_1", "hidden_2"):
        first, second, third = (total[population] for total in found)
        assert first > 500
        assert second == pytest.approx(first, rel=0.2) and third == pytest.approx(second, rel=0.2), population


@pytest.mark.parametrize("env_id", ["SNNPlastic-Unsup1-v0", "SNNPlastic-Semi-v0", "SNNPlastic-Grad-v0"])
def test_images_are_shown_at_a_rate_per_ms(env_id: str) -> None:
    config = environment_config(env_id, dt=0.25, max_rate=0.2)
    assert (config.spike_chance, config.duration) == (0.05, config.num_steps * 0.25)
    env = PlasticityVectorEnv(env_id, num_envs=1, dataset="digits", dt=0.25, max_rate=0.2, num_steps=2000)
    env.reset(seed=0)
    task = env.engine.task
    image = task.dataset.split("train").images[task.shown(0).image].numpy().flatten() / 255.0  # (P,)
    counts = task.shown(0).spikes.sum(dim=0).numpy()  # (P,) in 500 ms
    assert task.max_rate == 0.05
    assert counts.sum() == pytest.approx(image.sum() * 0.2 * 500, rel=0.03)
    assert np.all(counts[image == 0] == 0)


def test_rates_of_an_episode_are_per_ms() -> None:
    env = PlasticityVectorEnv(
        "SNNPlastic-Unsup1-v0", num_envs=2, dataset="digits", n_exc=20, num_steps=200, history_length=10, dt=0.5
    )
    env.reset(seed=0)
    result = env.run_episode(make_rule("zero"))
    assert result.spikes["exc"].sum() > 0
    torch.testing.assert_close(result.rates.sum(dim=1), result.spikes["exc"] / 100.0)  # 200 steps of 0.5 ms


def test_the_reward_of_a_classifier_and_its_feedback_are_of_rates_per_ms() -> None:
    """Recomputed from the raster, in 24 steps of 0.5 ms."""
    sizes = {"num_steps": 24, "history_length": 4, "hidden_sizes": (20,), "max_rate": 0.8, "w_init": 8.0}
    env = PlasticityVectorEnv(
        "SNNPlastic-Semi-v0", num_envs=6, dataset="digits", dt=0.5, third_factor="feedback", alpha_softmax=5.0, **sizes
    )
    env.reset(seed=0)
    labels = torch.tensor([env.engine.task.shown(row).label for row in range(6)])
    factors: list[torch.Tensor] = []

    def rule(events):
        if not factors or not torch.equal(factors[-1], env.engine.task.factors()["output"]):
            factors.append(env.engine.task.factors()["output"].clone())
        return 0.0 * events.weight

    result = env.run_episode(rule)
    counts = env.engine.raster["output"].sum(dim=1).float()  # (R, C)
    rates = counts / 12.0
    assert rates.sum() > 0.5
    torch.testing.assert_close(result.terms["output_rate"], rates.mean(dim=1))
    others = rates.masked_fill(torch.nn.functional.one_hot(labels, 10).bool(), -math.inf).amax(dim=1)
    torch.testing.assert_close(result.terms["margin"], rates.gather(1, labels[:, None]).squeeze(1) - others)
    error = torch.nn.functional.one_hot(labels, 10) - torch.softmax(5.0 * rates, dim=1)
    torch.testing.assert_close(factors[-1], error)


def test_the_loss_of_the_gradient_task_is_of_rates_per_ms() -> None:
    env = PlasticityVectorEnv(
        "SNNPlastic-Grad-v0", num_envs=4, dataset="digits", dt=0.5, num_steps=20, history_length=4, w_init=8.0,
        hidden_sizes=(20,), layer_scalars=(0.5, 1.0), alpha_softmax=3.0,
    )  # fmt: skip
    env.reset(seed=0)
    labels = torch.tensor([env.engine.task.shown(row).label for row in range(4)])
    result = env.run_episode(lambda events: 0.0 * events.weight)
    counts = env.engine.raster["output"].sum(dim=1).float()
    assert counts.sum() > 4
    expected = torch.nn.functional.cross_entropy(3.0 * counts / 10.0, labels, reduction="none")
    torch.testing.assert_close(result.terms["loss"], expected)


@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_noise_moves_a_motor_neuron_as_far_whatever_the_step(dt: float) -> None:
    """After 8 ms, without leak, its deviation is resistance / tau_mem * noise * sqrt(8)."""
    env = PlasticityVectorEnv(
        "SNNPlastic-CartPole-v0", num_envs=40, dt=dt, steps_per_action=round(8 / dt), history_length=2,
        hidden_sizes=(), w_init_min=0.0, w_init_max=0.0, noise=0.5, v_th=1e6, tau_mem=1e5, resistance=2e5,
    )  # fmt: skip
    env.reset(seed=0)
    engine = env.engine
    engine.network.weights.fill_(0.0)
    engine.begin(range(40))
    for _ in range(round(8 / dt)):
        engine.advance()
    deviation = engine.network.states["motor"].v.std().item()  # of 40 x 40 neurons
    assert deviation == pytest.approx(2.0 * 0.5 * math.sqrt(8.0), rel=0.06)


def test_a_population_decoder_reads_rates_per_ms() -> None:
    decoder = make_decoder("population", Box(-1.0, 1.0, (1,)), group_size=2)
    counts = torch.tensor([[5, 1]])
    (action,) = decoder.decode(counts, 10.0, RowUniforms([]))[0].tolist()
    assert action == pytest.approx(0.4)  # (5 - 1) / 10 ms, however many steps they were


def test_a_judge_of_classifiers_counts_time_in_ms() -> None:
    """Its loss is that of the same weights, run here on the same input spikes."""
    sizes = {"num_steps": 20, "history_length": 4, "hidden_sizes": (20,), "layer_scalars": (0.5, 1.0), "w_init": 8.0}
    env = PlasticityVectorEnv("SNNPlastic-Grad-v0", num_envs=1, dataset="digits", dt=0.5, alpha_softmax=3.0, **sizes)
    env.reset(seed=0)
    part = env.engine.task.dataset.validation
    judged = examine(env.engine, env.config, part, 12)
    pixels = part.images[:12].reshape(-1) / 255.0
    spikes = poisson_encode(pixels, 20, 0.5, np.random.default_rng(TEST_SEED)).view(20, 12, -1)  # max_rate is 1 per ms
    layers = [env.engine.network.weights_of(p.name)[0] for p in env.engine.network.projections]
    lif = LIFParams(2.0, 0.0, 0.0, 1.0, 2.0)
    counts = forward(layers, spikes.float(), lif, 0.5, [1.0, 1.0], lambda x: (x > 0).float()).spikes[-1].sum(dim=0)
    assert counts.sum() > 10
    expected = torch.nn.functional.cross_entropy(3.0 * counts / 10.0, part.labels[:12])
    assert judged.loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_a_world_is_encoded_and_decoded_in_ms(dt: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """CartPole, 40 ms an action, fields that fire every 10 ms: four volleys whatever the step."""
    env = PlasticityVectorEnv(
        "SNNPlastic-CartPole-v0", num_envs=3, dt=dt, steps_per_action=round(40 / dt), history_length=2, max_actions=1
    )
    durations, decode = [], env.engine.task.decoder.decode
    monkeypatch.setattr(
        env.engine.task.decoder, "decode", lambda counts, *rest: durations.append(rest[0]) or decode(counts, *rest)
    )
    env.reset(seed=0)
    spikes = env.run_episode(make_rule("zero")).spikes["input"]
    assert spikes.tolist() == [4 * 4] * 3  # an active neuron for each of four observations
    assert durations == [40.0]
