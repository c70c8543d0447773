"""Third factors against slow ones: loops over the outputs' spikes, and owners of synapses looked up one by one."""

import copy
import math
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from grids import grid
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.config.environments import SemiConfig
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels.weights import look_up_post
from snn_plasticity_gym.networks.feedforward import classifier
from snn_plasticity_gym.plasticity.third_factors import FACTORS
from snn_plasticity_gym.tasks.image_task import image_task

SEMI = "SNNPlastic-Semi-v0"
SMALL = {  # tiny, yet all layers fire in most images
    "dataset": "digits",
    "hidden_sizes": (7, 5),
    "num_steps": 6,
    "history_length": 6,
    "events_per_step": 600,
    "max_rate": 0.08,
    "w_init": 12.0,
    "v_th": 0.3,
    "eta": 0.02,
}
KINDS = [  # every factor, on throughout and passing, and in phases
    {"third_factor": "none"},
    {"third_factor": "reward"},
    {"third_factor": "teaching"},
    {"third_factor": "teaching", "factor_steps": 3},
    {"third_factor": "feedback"},
    {"third_factor": "feedback", "factor_steps": 3},
    {"third_factor": "feedback", "factor_steps": 4, "event_kinds": "split"},
]
ALLOWED_OF_GYMNASIUM = (  # what its checker may warn about, and why that is no fault here
    "A Box observation space minimum value is -infinity",  # feedback weights are normal: their factor has no bounds
    "A Box observation space maximum value is infinity",
)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["-".join(str(v) for v in kind.values()) for kind in KINDS])


def make(num_envs=3, **settings):
    return PlasticityVectorEnv(SEMI, num_envs, **(SMALL | settings))


# One rule for both faces: a function of all that an event shows, exact in whatever batch


def answer(history, weight, kind, factor):
    age = np.arange(1, history.shape[-1] + 1)
    code = (history.astype(np.int64) * np.stack([age, 31 * age])).sum(axis=(-2, -1)) * 7919
    code = code + (weight * 2**20).astype(np.int64) + 5 * kind.astype(np.int64) + (factor * 2**16).astype(np.int64)
    return ((code % 2401 - 1200) / 1000).astype(np.float32)


def answer_flat(events):
    factor = events.extras[:, 0].numpy() if events.extras.shape[1] else np.float32(0.0)
    columns = (events.history().numpy(), events.weight.numpy(), events.kind.numpy(), factor)
    return torch.from_numpy(answer(*columns))


def answer_slots(observation):
    factor = observation.get("factor", np.float32(0.0))
    return answer(observation["history"], observation["weight"], observation["kind"], factor)


def play_flat(env, see=None):
    """Show one image; `see` gets the events of every phase of every step."""
    while (events := env.events()) is not None:
        if see is not None:
            see(events)
        env.apply(answer_flat(events))
    return env.finish()


# The slow factors: of layer, lifetime and neuron


def owners(network):
    """For every address of a weight (layer, lifetime, post neuron) of its synapse, from `weights_of` alone: (W, 3)."""
    kept = network.weights.clone()
    network.weights.copy_(torch.arange(len(kept)))
    found = np.full((len(kept), 3), -1)
    for layer, projection in enumerate(network.projections):
        addresses = network.weights_of(projection.name).long().numpy()  # (B, n_pre, n_post)
        for lifetime in range(addresses.shape[0]):
            for post in range(addresses.shape[2]):
                found[addresses[lifetime, :, post]] = (layer, lifetime, post)
    network.weights.copy_(kept)
    assert (found >= 0).all()
    return found


def sizes_of(env):
    return [*env.config.hidden_sizes, 10]


def is_on(env, row):
    """Whether a passing factor is on in the step that is being presented (the first is 1)."""
    return not env.config.factor_steps or env.engine.steps[row] > env.config.num_steps - env.config.factor_steps


def slow_teaching(env):
    factor = [[[0.0] * size for _ in range(env.num_envs)] for size in sizes_of(env)]
    for row in range(env.num_envs):
        for k in range(10):
            if is_on(env, row):
                factor[-1][row][k] = 0.9 if k == image_task(env.engine.task).shown(row).label else -0.1
    return factor


def slow_error(env, row):
    """[k = y] - softmax(alpha * spikes so far / steps so far), of the image that lifetime `row` looks at."""
    if not is_on(env, row):
        return [0.0] * 10
    steps = int(env.engine.steps[row])
    spikes = env.engine.raster["output"][row].tolist()  # [step][output]
    rates = [sum(spikes[step][k] for step in range(steps)) / steps for k in range(10)]
    grown = [math.exp(env.config.alpha_softmax * rate) for rate in rates]
    return [float(k == image_task(env.engine.task).shown(row).label) - grown[k] / sum(grown) for k in range(10)]


def feedback_weights(env):
    """B of every lifetime and hidden layer, as plain lists: [layer][lifetime][output][hidden]."""
    return [weights.tolist() for weights in env.engine.task._factor._weights]


def slow_feedback(env, weights):
    errors = [slow_error(env, row) for row in range(env.num_envs)]
    hidden = [
        [
            [sum(of_row[k][j] * errors[row][k] for k in range(10)) for j in range(size)]
            for row, of_row in enumerate(of_layer)
        ]
        for size, of_layer in zip(env.config.hidden_sizes, weights, strict=True)
    ]
    return [*hidden, errors]


def slow_surprise(rewards, window):
    """The last reward less the mean of those before it; plain over the first, exponential later."""
    if len(rewards) < 2:
        return 0.0
    mean = 0.0
    for number, reward in enumerate(rewards[:-1], start=1):
        mean = mean * (1 - 1 / min(number, window)) + reward / min(number, window) if number > 1 else reward
    return rewards[-1] - mean


def slow_reward(env, rewards):
    surprises = [slow_surprise(of_row, env.config.reward_window) for of_row in rewards]
    return [[[surprises[row]] * size for row in range(env.num_envs)] for size in sizes_of(env)]


def assert_factor(env, events, owner, expected):
    """Every event's scalar is that of its synapse's lifetime, layer and post neuron; return the layers seen."""
    assert events.extras.shape == (len(events.weight), 1)
    layer, lifetime, post = owner[events.synapse.numpy()].T
    assert (lifetime == np.repeat(np.arange(env.num_envs), events.lengths)).all()
    table = np.full((len(expected), env.num_envs, 10), np.nan)
    for place, of_layer in enumerate(expected):
        table[place, :, : len(of_layer[0])] = of_layer
    np.testing.assert_allclose(events.extras[:, 0].numpy(), table[layer, lifetime, post], rtol=1e-5, atol=2e-6)
    return set(layer.tolist())


# Every event of every step


@pytest.mark.parametrize(
    ("factor_steps", "event_kinds"), [(0, "merged"), (1, "merged"), (5, "merged"), (3, "feature"), (3, "split")]
)
def test_teaching_is_positive_at_the_label_and_sums_to_zero(factor_steps, event_kinds):
    env = make(third_factor="teaching", factor_steps=factor_steps, event_kinds=event_kinds)
    env.reset(seed=1)
    owner, layers = owners(env.engine.network), set()

    def see(events):
        nonlocal layers
        layers |= assert_factor(env, events, owner, slow_teaching(env))

    for _ in range(2):
        play_flat(env, see)
    assert layers == {0, 1, 2}


@pytest.mark.parametrize(("factor_steps", "event_kinds"), [(0, "merged"), (1, "merged"), (4, "merged"), (4, "split")])
def test_feedback_is_the_error_so_far_and_what_fixed_weights_make_of_it(factor_steps, event_kinds):
    env = make(third_factor="feedback", factor_steps=factor_steps, event_kinds=event_kinds, alpha_softmax=4.0)
    env.reset(seed=1)
    owner, layers, answered = owners(env.engine.network), set(), 0
    weights = feedback_weights(env)

    def see(events):
        nonlocal layers
        layers |= assert_factor(env, events, owner, slow_feedback(env, weights))

    for _ in range(4):
        answered += int(play_flat(env, see).spikes["output"].sum())
        assert feedback_weights(env) == weights
    assert layers == {0, 1, 2} and answered > 20


@pytest.mark.parametrize(
    ("window", "event_kinds"), [(1.0, "merged"), (2.5, "merged"), (3.0, "split"), (100.0, "merged")]
)
def test_reward_is_the_last_one_less_the_mean_of_those_before(window, event_kinds):
    env = make(third_factor="reward", reward_window=window, event_kinds=event_kinds)
    env.reset(seed=1)
    owner, layers = owners(env.engine.network), set()
    rewards = [[], [], []]

    def see(events):
        nonlocal layers
        layers |= assert_factor(env, events, owner, slow_reward(env, rewards))
        if len(rewards[0]) == 0:
            assert not events.extras.any()

    for _ in range(7):
        for row, reward in enumerate(play_flat(env, see).reward.tolist()):
            rewards[row].append(reward)
    assert layers == {0, 1, 2}
    assert all(len(set(of_row)) > 3 for of_row in rewards)


def test_without_a_third_factor_there_is_none():
    env = make(third_factor="none")
    observation, _ = env.reset(seed=1)
    assert "factor" not in observation and "factor" not in env.single_observation_space.spaces
    play_flat(env, lambda events: pytest.fail("a factor") if events.extras.shape != (len(events.weight), 0) else None)
    assert env.engine.scalars.names == ()


# The teaching current


@pytest.mark.parametrize("factor_steps", [0, 2, 3])
@pytest.mark.parametrize("current", [0.23, 1.3])
def test_the_teaching_current_enters_the_output_neurons(current, factor_steps):
    """Membranes and spikes of the outputs are those of a simulation by hand, with the weights of each step."""
    env = make(third_factor="teaching", teaching_current=current, factor_steps=factor_steps)
    env.reset(seed=2)
    config, network, fired = env.config, env.engine.network, [0, 0]
    last = network.projections[-1].name

    for _ in range(3):
        membranes = [[config.v_rest] * 10 for _ in range(3)]
        previous = 0
        while (events := env.events()) is not None:
            step = int(env.engine.steps[0])
            assert step == previous + 1
            for row, membrane in enumerate(membranes):
                sources = env.engine.raster["hidden_2"][row, step - 1].tolist()
                weights = network.weights_of(last)[row].tolist()  # nothing was written since the step
                for k in range(10):
                    drive = sum(weights[j][k] for j, spike in enumerate(sources) if spike)
                    if factor_steps == 0 or step > config.num_steps - factor_steps:
                        drive += current * (0.9 if k == image_task(env.engine.task).shown(row).label else -0.1)
                    rise = config.v_rest - membrane[k] + config.resistance * drive
                    membrane[k] += config.dt / config.tau_mem * rise
                    assert abs(membrane[k] - config.v_th) > 1e-5  # rounding decides nothing
                    spike = membrane[k] > config.v_th
                    assert bool(env.engine.raster["output"][row, step - 1, k]) == spike
                    if spike:
                        fired[k == image_task(env.engine.task).shown(row).label] += 1
                        membrane[k] = config.v_reset
                np.testing.assert_allclose(network.states["output"].v[row], membrane, rtol=1e-5, atol=1e-5)
            previous = step
            env.apply(answer_flat(events))
        env.finish()
    assert fired[True] > 0
    assert fired[False] > 0 or current > 1


@pytest.mark.parametrize(
    ("factor_steps", "spikes", "label", "other"),
    [
        (0, [2, 4, 6], [0.9, 0.0, 0.9, 0.0, 0.9, 0.0], [-0.1, -0.15, -0.175, -0.1875, -0.19375, -0.196875]),
        (3, [5], [0.0, 0.0, 0.0, 0.9, 0.0, 0.9], [0.0, 0.0, 0.0, -0.1, -0.15, -0.175]),
        (1, [], [0.0, 0.0, 0.0, 0.0, 0.0, 0.9], [0.0, 0.0, 0.0, 0.0, 0.0, -0.1]),
    ],
)
def test_teaching_drives_a_dead_network_by_hand(factor_steps, spikes, label, other):
    """With the default constants v <- (v + 2 I) / 2, and a spike above 1."""
    env = make(2, third_factor="teaching", factor_steps=factor_steps, v_th=1.0, eta=0.0)
    env.reset(seed=0)
    env.engine.network.weights.zero_()
    env.reset()  # the first step of an image with these weights
    for step in range(6):
        events = env.events()
        for row in range(2):
            y = image_task(env.engine.task).shown(row).label
            expected = [label[step] if k == y else other[step] for k in range(10)]
            assert env.engine.network.states["output"].v[row].tolist() == pytest.approx(expected, abs=1e-6)
            fired = env.engine.raster["output"][row, step].nonzero().flatten().tolist()
            assert fired == ([y] if step + 1 in spikes else [])
        env.apply(torch.zeros_like(events.weight))


# Feedback weights


def hidden_factors(env, events, owner, layer):
    """The factor of each neuron of a hidden layer that has an event now, NaN elsewhere: (B, N)."""
    found = np.full((env.num_envs, env.config.hidden_sizes[layer]), np.nan)
    where, lifetime, post = owner[events.synapse.numpy()].T
    here = where == layer
    found[lifetime[here], post[here]] = events.extras[:, 0].numpy()[here]
    return found


def test_one_matrix_explains_all_feedback_of_a_lifetime():
    """Seen from outside: f is linear in e, by the same matrix for all images of a lifetime, another for each life."""
    env = make(2, third_factor="feedback", alpha_softmax=4.0, max_rate=0.1)
    env.reset(seed=4)
    owner = owners(env.engine.network)
    fitted = []
    for _ in range(2):
        errors, factors = [[], []], [[], []]

        def see(events, errors=errors, factors=factors):
            seen = hidden_factors(env, events, owner, 0)
            for row in range(2):
                if not np.isnan(seen[row]).any():
                    errors[row].append(slow_error(env, row))
                    factors[row].append(seen[row])

        for _ in range(18):
            play_flat(env, see)
        for row in range(2):
            known, told = np.array(errors[row]), np.array(factors[row])
            matrix, _, rank, _ = np.linalg.lstsq(known, told, rcond=1e-5)
            assert rank == 9 and len(known) > 40  # errors add up to 0: the tenth direction is never seen
            np.testing.assert_allclose(known @ matrix, told, atol=1e-5)
            fitted.append(matrix)
        env.reset(options={"new_lifetime": True})
    for one in range(4):
        for other in range(one):
            assert np.abs(fitted[one] - fitted[other]).max() > 0.1


@pytest.mark.parametrize("scale", [0.3, 1.4])
def test_feedback_weights_are_normal_of_the_scale_that_was_asked_for(scale):
    """f / |e| of 40 lifetimes that see the same image, 2000 numbers: deviation, skewness, kurtosis, correlation."""
    env = make(40, third_factor="feedback", feedback_scale=scale, hidden_sizes=(50, 3), common_noise=True)
    env.reset(seed=0)
    seen = hidden_factors(env, env.events(), owners(env.engine.network), 0)
    lengths = [math.sqrt(sum(part**2 for part in slow_error(env, row))) for row in range(40)]
    unit = seen / np.array(lengths)[:, None] / scale
    assert np.isfinite(unit).all()
    assert unit.mean() == pytest.approx(0.0, abs=4.5 / math.sqrt(2000))
    assert unit.std() == pytest.approx(1.0, abs=4.5 / math.sqrt(4000))
    assert (unit**3).mean() == pytest.approx(0.0, abs=4.5 * math.sqrt(15 / 2000))
    assert (unit**4).mean() == pytest.approx(3.0, abs=4.5 * math.sqrt(96 / 2000))
    between = np.corrcoef(unit)[np.triu_indices(40, 1)]  # of lifetimes
    assert np.abs(between).max() < 0.75
    assert between.std() == pytest.approx(1 / math.sqrt(49), rel=0.15)


def test_feedback_weights_of_layers_and_outputs_are_independent():
    env = make(2, third_factor="feedback", hidden_sizes=(30, 30))
    env.reset(seed=0)
    rows = np.array(feedback_weights(env)).reshape(-1, 30)  # layer, lifetime, output
    between = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    assert np.abs(between).max() < 0.85


def test_feedback_weights_are_a_function_of_the_seed():
    env, other = make(3, third_factor="feedback"), make(2, third_factor="feedback", hidden_sizes=(7, 5))
    env.reset(seed=5)
    first = feedback_weights(env)
    env.reset(options={"new_lifetime": True})
    second = feedback_weights(env)
    env.reset(seed=6)
    shifted = feedback_weights(env)
    other.reset(seed=6)
    for layer in range(2):
        assert all(one != new for one, new in zip(first[layer], second[layer], strict=True))
        assert first[layer][1:] == shifted[layer][:2]
        assert feedback_weights(other)[layer] == shifted[layer][:2]
    env.reset(seed=5)
    assert feedback_weights(env) == first
    env.reset()
    assert feedback_weights(env) == first  # another image, the same life
    env.reset(options={"new_lifetime": True})
    assert feedback_weights(env) == second
    env.reset(seed=[None, 9, None])
    third = feedback_weights(env)
    for layer in range(2):
        assert [third[layer][row] == second[layer][row] for row in range(3)] == [True, False, True]


# Lifetimes


def test_an_image_that_was_broken_off_leaves_nothing_behind():
    """Neither output spikes in the error so far, nor a reward in the mean."""
    env = make(third_factor="feedback", alpha_softmax=4.0)
    env.reset(seed=3)
    owner, weights = owners(env.engine.network), feedback_weights(env)
    for _ in range(3):
        while env.engine.steps[0] < 5:
            env.apply(answer_flat(env.events()))
        assert env.engine.raster["output"][:, :5].any()
        env.reset()
        assert_factor(env, env.events(), owner, slow_feedback(env, weights))

    env = make(third_factor="reward")
    env.reset(seed=3)
    rewards = [[], [], []]
    for _ in range(4):
        for row, reward in enumerate(play_flat(env).reward.tolist()):
            rewards[row].append(reward)
        env.apply(answer_flat(env.events()))
        env.reset()
        assert_factor(env, env.events(), owner, slow_reward(env, rewards))


def test_a_new_lifetime_forgets_its_rewards_and_no_other_does():
    env = make(third_factor="reward", reward_window=4.0)
    env.reset(seed=1)
    owner, rewards = owners(env.engine.network), [[], [], []]

    def play(images):
        for _ in range(images):
            result = play_flat(env, lambda events: assert_factor(env, events, owner, slow_reward(env, rewards)))
            for row, reward in enumerate(result.reward.tolist()):
                rewards[row].append(reward)

    play(4)
    env.reset(seed=[None, 40, None])
    rewards[1].clear()
    play(4)
    assert rewards[1] and any(slow_reward(env, rewards)[0][0]) and any(slow_reward(env, rewards)[0][2])
    env.reset(options={"new_lifetime": True})
    for of_row in rewards:
        of_row.clear()
    assert not env.events().extras.any()
    play(3)


@pytest.mark.parametrize("third_factor", ["reward", "feedback", "teaching"])
def test_factors_restart_when_lifetimes_end(third_factor):
    """`lifetime_length` images and a lifetime that is begun by hand are the same."""
    env, by_hand = make(third_factor=third_factor, lifetime_length=3), make(third_factor=third_factor)
    env.reset(seed=1)
    by_hand.reset(seed=1)
    owner, rewards, lives = owners(env.engine.network), [[], [], []], []

    def see(events):
        told.append(events.extras[:, 0])
        if third_factor == "reward":
            assert_factor(env, events, owner, slow_reward(env, rewards))
        elif third_factor == "feedback":
            assert_factor(env, events, owner, slow_feedback(env, lives[-1]))

    for image in range(7):
        if image % 3 == 0:
            rewards = [[], [], []]
            lives.append(feedback_weights(env) if third_factor == "feedback" else image)
        told, expected = [], []
        result = play_flat(env, see)
        same = play_flat(by_hand, lambda events, expected=expected: expected.append(events.extras[:, 0]))
        if image % 3 == 2:
            by_hand.reset(options={"new_lifetime": True})
        assert env.engine.ages.tolist() == [0 if image % 3 == 2 else image % 3 + 1] * 3
        for row, reward in enumerate(result.reward.tolist()):
            rewards[row].append(reward)
        assert torch.equal(result.reward, same.reward)
        assert torch.equal(torch.cat(told), torch.cat(expected))
        assert torch.equal(env.engine.network.weights, by_hand.engine.network.weights)
    for one in range(3):
        for other in range(one):
            assert lives[one] != lives[other]


# Rewards against a loop, with lifetimes that are told of their rewards at different times


@settings(max_examples=40)
@given(
    calls=st.lists(
        st.one_of(
            st.lists(st.tuples(st.integers(0, 2), st.floats(-2, 2, width=32)), unique_by=lambda told: told[0]),
            st.integers(0, 2),  # this lifetime begins anew
        ),
        max_size=25,
    ),
    window=st.floats(1, 10),
)
def test_the_mean_of_rewards_against_a_loop(calls, window):
    config = SemiConfig(third_factor="reward", reward_window=window, hidden_sizes=(3,))
    populations, projections = classifier(config, 4, 10)
    cpu = torch.device("cpu")
    factor = FACTORS["reward"](config, populations, projections, 3, cpu)
    rewards = [[], [], []]
    for call in calls:
        if isinstance(call, int):
            factor.start_lifetime(call, np.random.default_rng(0))
            rewards[call].clear()
        else:
            rows, values = torch.tensor([row for row, _ in call]).long(), torch.tensor([value for _, value in call])
            factor.end(rows, values)
            for row, value in call:
                rewards[row].append(value)
        expected = [slow_surprise(of_row, window) for of_row in rewards]
        for values in factor.by_population().values():  # (3, N), the same for all neurons
            np.testing.assert_allclose(
                values, np.broadcast_to(np.array(expected)[:, None], values.shape), rtol=1e-4, atol=1e-4
            )


# Both faces, one and many


def flat_life(env, images, seed):
    """Factors, weights and rewards of each image, row by row: [row][image]."""
    env.reset(seed=seed)
    life = [[] for _ in range(env.num_envs)]
    network = env.engine.network
    for _ in range(images):
        told = [[] for _ in range(env.num_envs)]

        def see(events, told=told):
            for row, part in enumerate(events.split()):
                told[row].append(part.extras.numpy())

        result = play_flat(env, see)
        for row in range(env.num_envs):
            weights = [network.weights_of(p.name)[row].clone() for p in network.projections]
            life[row].append((np.concatenate(told[row]), weights, float(result.reward[row])))
    return life


@every_kind
def test_slots_tell_and_do_what_the_flat_face_does(kind):
    """Few slots, so that lifetimes are at different steps and images."""
    images = 3
    expected = flat_life(make(**kind), images, seed=11)
    env = make(**kind)
    network = env.engine.network
    observation, _ = env.reset(seed=11)
    assert ("factor" in observation) == (kind["third_factor"] != "none")
    told, ended, apart = [[], [], []], [0, 0, 0], False
    while min(ended) < images:
        for row in range(3):
            shown = observation["mask"][row] == 1
            if "factor" in observation:
                assert observation["factor"].dtype == np.float32
                assert not observation["factor"][row][~shown].any()
                told[row].append(observation["factor"][row][shown][:, None])
            else:
                told[row].append(np.zeros((shown.sum(), 0)))
        assert observation in env.observation_space
        observation, rewards, terminations, _, _ = env.step(answer_slots(observation))
        apart |= len(set(env.engine.steps.tolist())) > 1 and len(set(ended)) > 1
        for row in np.flatnonzero(terminations):
            if ended[row] < images:
                factors, weights, reward = expected[row][ended[row]]
                assert np.array_equal(np.concatenate(told[row]), factors)
                assert rewards[row] == reward
                for projection, wanted in zip(network.projections, weights, strict=True):
                    assert torch.equal(network.weights_of(projection.name)[row], wanted)
            ended[row] += 1
            told[row] = []
    assert apart
    for of_row in expected:  # weights have moved in every layer
        assert not any(torch.equal(first, last) for first, last in zip(of_row[0][1], of_row[-1][1], strict=True))


@every_kind
def test_row_i_is_the_single_environment_of_seed_s_plus_i(kind):
    settings = kind | {"hidden_sizes": (5, 60)}  # wide enough for a matrix product that is not the small one
    together = flat_life(make(3, **settings), 3, seed=20)
    for row in range(3):
        single = PlasticityEnv(SEMI, **(SMALL | settings))
        single.num_envs = 1
        alone = flat_life(single, 3, seed=20 + row)[0]
        for (factors, weights, reward), (wanted, grown, paid) in zip(alone, together[row], strict=True):
            assert np.array_equal(factors, wanted) and reward == paid
            assert all(torch.equal(*pair) for pair in zip(weights, grown, strict=True))


@every_kind
def test_equal_seeds_are_equal_rollouts(kind):
    runs = []
    for seed in (7, 7, 8):
        env, seen = PlasticityEnv(SEMI, **(SMALL | kind)), []
        for reset in ({"seed": seed}, {}):
            observation, _ = env.reset(**reset)
            over = False
            while not over:
                seen.append(observation)
                observation, reward, over, _, info = env.step(answer_slots(observation))
            seen.append((reward, info.pop("reward_terms"), {name: np.asarray(value) for name, value in info.items()}))
        runs.append(seen)
    np.testing.assert_equal(runs[0], runs[1])
    with pytest.raises(AssertionError):
        np.testing.assert_equal(runs[0], runs[2])


@pytest.mark.parametrize(
    ("kind", "duplicate"),
    grid(
        KINDS,
        [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))],
        ids=[["-".join(str(v) for v in kind.values()) for kind in KINDS], ["deepcopy", "pickle"]],
    ),
)
def test_a_copy_goes_on_with_the_same_factor(duplicate, kind):
    """Pickle keeps no views: what a copy writes to and what it reads from must still be one."""
    env = make(2, **kind)
    env.reset(seed=5)
    for _ in range(2):
        play_flat(env)
    for _ in range(3):
        env.apply(answer_flat(env.events()))
    twin = duplicate(env)
    told = [[], []]
    for one, of_one in zip((env, twin), told, strict=True):
        for _ in range(2):
            play_flat(one, lambda events, of_one=of_one: of_one.append(events.extras))
    assert all(torch.equal(*pair) for pair in zip(*told, strict=True))
    assert torch.equal(env.engine.network.weights, twin.engine.network.weights)


@every_kind
def test_gymnasiums_checker_has_only_the_allowed_to_say(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind["third_factor"] != "none":
            for message in ALLOWED_OF_GYMNASIUM:
                warnings.filterwarnings("ignore", message=f".*{message}")
        # A picture takes half a second: one kind is enough, with a factor and phases.
        render_mode = "rgb_array" if kind.get("event_kinds") == "split" else None
        env = gymnasium.make(SEMI, render_mode=render_mode, **(SMALL | kind))
        check_env(env.unwrapped, skip_render_check=render_mode is None)
        env.close()


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3),
    st.integers(1, 3),
    st.lists(st.integers(0, 10**6), max_size=40),
    st.booleans(),
)
def test_the_loop_finds_the_post_neuron_of_every_address(sizes, num_lifetimes, picks, ordered):
    """Projections of n_pre x n_post in a row, several lifetimes each, addressed in order, in fans or at random."""
    synapses = np.array([n_pre * n_post for n_pre, n_post in sizes])
    width = np.array([n_post for _, n_post in sizes])
    offset = np.cumsum([0, *(num_lifetimes * synapses)])[:-1]
    start = np.cumsum([0, *(num_lifetimes * width)])[:-1]
    values = np.arange(num_lifetimes * width.sum(), dtype=np.float32)
    every = [
        (offset[p] + (b * n_pre + i) * n_post + j, p, values[start[p] + b * n_post + j])
        for p, (n_pre, n_post) in enumerate(sizes)
        for b in range(num_lifetimes)
        for i in range(n_pre)
        for j in range(n_post)
    ]
    columns = sorted(every, key=lambda one: (one[2], one[0]))  # post fans
    picked = (every + columns if ordered else []) + [every[pick % len(every)] for pick in picks]
    address, projection, expected = (
        (np.array(column) for column in zip(*picked, strict=True)) if picked else [np.empty(0)] * 3
    )
    found = np.full(len(picked), -1.0, dtype=np.float32)
    look_up_post(address.astype(np.int64), projection.astype(np.int64), offset, synapses, width, start, values, found)
    assert (found == expected).all()
