"""Local scalars against a slow network in double precision, in every task, interface, form of rule and phase."""

import gymnasium
import numpy as np
import pytest
import torch
from grids import grid
from toys_tasks import QUOTA, QuotaTask, registered

from snn_plasticity_gym import make_sb3_env, register_local_scalar
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.plasticity import local_scalars
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.distilled import DistilledRule, Term
from snn_plasticity_gym.trainers import train_a2c, train_es

OWN = ["potential", "surrogate", "theta", "reward"]
SMALL = {"num_steps": 12, "history_length": 8, "dataset": "digits", "image_size": 7}
UNSUP = {
    **SMALL, "n_exc": 6, "gain_input_exc": 12.0, "max_rate": 0.1, "exc_theta_plus": 2.0, "exc_tau_theta": 40.0,
    "exc_refractory": 2.0, "eta_exc": 0.05, "eta_inh": 0.05,
}  # fmt: skip
FORWARD = {**SMALL, "hidden_sizes": (7, 5), "w_init": 6.0, "max_rate": 0.4, "eta": 0.02, "image_pool": 4}
TASKS = {
    "SNNPlastic-Unsup2-v0": {**UNSUP, "local_state": OWN},
    "SNNPlastic-Grad-v0": {**FORWARD, "layer_scalars": (0.2, 0.5, 1.0), "local_state": OWN},
    "SNNPlastic-Semi-v0": {**FORWARD, "third_factor": "feedback", "local_state": [*OWN, "factor"]},
    "SNNPlastic-CartPole-v0": {
        "history_length": 8, "steps_per_action": 4, "hidden_sizes": (6,), "third_factor": "rpe", "w_init_max": 0.8,
        "recurrent": True, "world_kwargs": {"sutton_barto_reward": True}, "local_state": OWN,
    },
}  # fmt: skip
every_task = pytest.mark.parametrize("env_id", TASKS)


class Slow:
    """Potentials and thresholds by Euler's rule in double precision, from weights and the spikes that were recorded."""

    def __init__(self, network):
        self.network = network
        self.computed = {name: p for name, p in network.populations.items() if p.lif is not None}
        self.theta = {name: np.zeros((network.num_networks, p.size)) for name, p in self.computed.items()}

    def begin(self):
        shape = {name: theta.shape for name, theta in self.theta.items()}
        self.v = {name: np.full(shape[name], p.lif.v_rest) for name, p in self.computed.items()}
        self.wait = {name: np.zeros(shape[name]) for name in self.computed}
        self.last = {}

    def step(self, spikes, running):
        """Take a step in which `spikes` fired; return what each population tells. Rows not `running` do not count."""
        told = {}
        for name, population in self.computed.items():
            lif, current = population.lif, np.zeros_like(self.v[name])
            for p in self.network.projections:
                source = self.last.get(p.source) if p.recurrent else spikes[p.source]
                if p.target != name or source is None:
                    continue
                if p.one_to_one:
                    sent = source
                else:
                    sent = np.einsum("bi,bij->bj", source, self.network.weights_of(p.name).double().numpy())
                current += p.gain / self.network.dt * sent
            current[self.wait[name] > 0] = 0.0
            v = self.v[name]
            v = v + self.network.dt / lif.tau_mem * (lif.v_rest - v + lif.resistance * current)
            lacks = (lif.v_th + self.theta[name] - v) / (lif.v_th - lif.v_rest)
            told[name] = {
                "potential": lacks, "surrogate": 1 / (1 + 2 * abs(lacks)) ** 2, "theta": self.theta[name].copy(),
            }  # fmt: skip
            fired = spikes[name].astype(bool)
            assert (lacks[fired & running[:, None]] < 1e-4).all(), "who fires has reached its threshold"
            self.v[name] = np.where(fired, lif.v_reset, v)
            self.wait[name] = np.where(fired, lif.silent_steps(self.network.dt), np.maximum(self.wait[name] - 1, 0))
            if lif.theta_plus:
                self.theta[name] = self.theta[name] * np.exp(-self.network.dt / lif.tau_theta) + lif.theta_plus * fired
        self.last = {name: fired.astype(float) for name, fired in spikes.items()}
        return told


def owners(events, network):
    """Lifetime, target and post neuron of each event, one by one."""
    plastic = [p for p in network.projections if p.plasticity is not None]
    for synapse, index in zip(events.synapse.tolist(), events.projection.tolist(), strict=True):
        projection = plastic[index]
        n_pre = network.populations[projection.source].size
        n_post = network.populations[projection.target].size
        place = synapse - network.offsets[projection.name]
        yield place // (n_pre * n_post), projection.target, place % n_post


def answer(events):
    """A rule that depends on what it is told, so that errors would spread."""
    told = events.extras.sum(dim=1)
    return torch.tanh(0.3 * told - 0.2 * events.weight)


@pytest.mark.parametrize(("env_id", "event_kinds"), grid(TASKS, ["merged", "split"]))
def test_scalars_are_those_of_a_slow_network(env_id, event_kinds):
    env = PlasticityVectorEnv(env_id, num_envs=2, event_kinds=event_kinds, **TASKS[env_id])
    env.reset(seed=3)
    engine, slow = env.engine, Slow(env.engine.network)
    names, checked, paid = engine.scalars.names, 0, [[], []]
    assert list(names) == sorted({*TASKS[env_id]["local_state"], *engine.task.scalars})
    judge = engine.task.outcome

    def outcome(rows, step):
        told = judge(rows, step)
        for row, reward in zip(*((told.rows.tolist(), told.reward.tolist()) if told else ([], [])), strict=True):
            paid[row].append(reward)
        return told

    engine.task.outcome = outcome
    for _ in range(3):
        slow.begin()
        done = -1
        while (events := env.events()) is not None:
            step, everyone = int(engine.steps.max()) - 1, torch.arange(2)
            if step != done:  # the first phase, with the weights that the step was taken with
                spikes = {name: engine.recorder.record.spikes_at(name, everyone, step).numpy().astype(float)
                          for name in engine.raster}  # fmt: skip
                told, done = slow.step(spikes, ~engine.ended), step
                factors = {name: factor.numpy().copy() for name, factor in engine.task.factors().items()}
                surprise = [made[-1] - np.mean(made[:-1]) if len(made) > 1 else 0.0 for made in paid]
            expected = np.zeros((len(events.weight), len(names)))
            for event, (row, target, neuron) in enumerate(owners(events, engine.network)):
                known = {name: values[row, neuron] for name, values in told[target].items()}
                known["reward"] = surprise[row]
                if target in factors:
                    known["factor"] = factors[target][row, neuron]
                if "layer" in names:
                    known["layer"] = TASKS[env_id]["layer_scalars"][int(events.projection[event])]
                expected[event] = [known[name] for name in names]
            np.testing.assert_allclose(events.extras.numpy(), expected, rtol=2e-4, atol=2e-4)
            checked += len(expected)
            env.apply(answer(events))
        env.finish()
    assert checked > 500


def shown(env, reset, count):
    """What the slots of one lifetime show, step by step, until `count` episodes are over."""
    observation, _ = env.reset(**reset)
    names, told = env.engine.scalars.names, []
    while count:
        used = observation["mask"] == 1
        extras = np.stack([observation[name] for name in names], axis=1)
        assert not extras[~used].any()
        told.append(extras[used])
        action = np.tanh(0.3 * extras.sum(axis=1) - 0.2 * observation["weight"]).astype(np.float32)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            count -= 1
            observation, _ = env.reset()
    return np.concatenate(told)


@every_task
def test_slots_flat_batches_and_single_environments_show_the_same(env_id):
    settings, episodes = {**TASKS[env_id], "events_per_step": 16}, 2
    alone = [shown(PlasticityEnv(env_id, **settings), {"seed": 8 + row}, episodes) for row in range(2)]
    assert min(map(len, alone)) > 50

    env, flat = PlasticityVectorEnv(env_id, num_envs=1, **TASKS[env_id]), []
    env.reset(seed=9)
    for _ in range(episodes):
        while (events := env.events()) is not None:
            flat.append(events.extras.numpy())
            env.apply(torch.from_numpy(np.tanh(0.3 * flat[-1].sum(axis=1) - 0.2 * events.weight.numpy())))
        env.finish()
    np.testing.assert_array_equal(np.concatenate(flat), alone[1])

    env, told, apart = PlasticityVectorEnv(env_id, num_envs=2, **settings), [[], []], False
    observation, _ = env.reset(seed=8)
    ended = [0, 0]
    while min(ended) < episodes:
        extras = np.stack([observation[name] for name in env.engine.scalars.names], axis=2)  # (B, E, X)
        for row in range(2):
            if ended[row] < episodes:
                told[row].append(extras[row][observation["mask"][row] == 1])
        apart |= len(set(env.engine.steps.tolist())) > 1
        action = np.tanh(0.3 * extras.sum(axis=2) - 0.2 * observation["weight"]).astype(np.float32)
        observation, _, terminated, truncated, _ = env.step(action)
        for row in np.flatnonzero(terminated | truncated):
            ended[row] += 1
    assert apart, "rows are at different steps"
    for row in range(2):
        np.testing.assert_array_equal(np.concatenate(told[row]), alone[row])


@every_task
def test_a_state_that_is_loaded_shows_what_it_would_have_shown(env_id):
    first, second = (PlasticityVectorEnv(env_id, num_envs=2, **TASKS[env_id]) for _ in range(2))
    first.reset(seed=1)
    second.reset(seed=2)
    for _ in range(2):
        first.run_episode(answer)
    state = first.state_dict()
    told = []
    for env in (first, second):
        if env is second:
            env.load_state_dict(state)
        told.append([])
        for _ in range(2):
            while (events := env.events()) is not None:
                told[-1].append(events.extras)
                env.apply(answer(events))
            env.finish()
    names = first.engine.scalars.names
    said = dict(zip(names, torch.cat(told[0]).abs().sum(dim=0).tolist(), strict=True))
    assert all(value > 0 for name, value in said.items() if name != "theta" or "exc_theta_plus" in TASKS[env_id])
    assert all(torch.equal(*pair) for pair in zip(*told, strict=True))


@pytest.mark.parametrize("order", [["factor", "surrogate"], ["surrogate"], ["surrogate", "factor"]])
def test_a_factor_that_is_asked_for_twice_is_shown_once(order):
    env = gymnasium.make("SNNPlastic-Semi-v0", third_factor="feedback", local_state=order, dataset="digits")
    assert env.unwrapped.engine.scalars.names == ("factor", "surrogate")
    assert {"factor", "surrogate"} <= set(env.observation_space.spaces)


def test_distilled_formulas_and_rules_of_ones_own_read_scalars_by_name():
    env = PlasticityVectorEnv("SNNPlastic-Semi-v0", num_envs=2, **TASKS["SNNPlastic-Semi-v0"])
    env.reset(seed=0)
    names = env.engine.scalars.names
    formula = DistilledRule(
        [[Term(2.0, ("surrogate", "factor")), Term(1.0, ("x20", "factor", "surrogate"))]], 1.0, names
    )
    answers = []
    while (events := env.events()) is not None:
        bits = events.history().double()  # (E, 2, K)
        trace = (bits[:, 0, :-1] * torch.exp(-torch.arange(7, 0, -1) / 20.0)).sum(dim=1)
        by_hand = (2.0 + trace) * events.scalar("surrogate") * events.scalar("factor")
        torch.testing.assert_close(formula(events).double(), by_hand, rtol=1e-5, atol=1e-6)
        answers.append(formula(events))
        env.apply(answers[-1])
    assert torch.cat(answers).abs().max() > 0.01


@pytest.mark.parametrize(
    ("trainer", "form"),
    grid([train_a2c, train_es], ["formula", "network"], ids=[["a2c", "es"], ["formula", "network"]]),
)
def test_rules_of_scalars_are_trained_and_their_files_load(trainer, form, tmp_path):
    flags = [
        "--env=SNNPlastic-Semi-v0", "--dataset=digits", "--num_steps=8", "--history_length=8", "--hidden_sizes=6",
        "--third_factor=feedback", "--local_state=surrogate,potential", "--image_pool=4", "--num_envs=4",
        "--episodes=8", "--eval_episodes=0", "--seed=1", "--wandb=disabled", "--no-report", f"--run_dir={tmp_path}",
        "--run_name=a", "--head_sizes=8",
    ]  # fmt: skip
    if form == "formula":
        flags += ["--rule_form=formula", "--formula_terms=surrogate*factor,x20*factor*surrogate,potential*post"]
    rule = load_rule(trainer.train(flags))
    assert list(rule.extra_keys) == ["factor", "potential", "surrogate"]
    env = PlasticityVectorEnv(
        "SNNPlastic-Semi-v0", num_envs=2, dataset="digits", num_steps=8, history_length=8, hidden_sizes=(6,),
        third_factor="feedback", local_state=("surrogate", "potential"),
    )  # fmt: skip
    env.reset(seed=0)
    before = env.engine.network.weights.clone()
    assert torch.isfinite(env.run_episode(rule).reward).all()
    assert not torch.equal(before, env.engine.network.weights)


@pytest.fixture
def doubled(monkeypatch):
    """A scalar of one's own: twice the potential."""
    monkeypatch.setattr(local_scalars, "LOCAL_SCALARS", dict(local_scalars.LOCAL_SCALARS))
    register_local_scalar("doubled", lambda view: 2.0 * local_scalars.potential(view))
    return "doubled"


def test_a_scalar_of_ones_own_is_seen_by_environment_formula_and_policy(doubled):
    settings = {**UNSUP, "local_state": ("potential", doubled)}
    env = gymnasium.make("SNNPlastic-Unsup1-v0", **settings)
    observation, _ = env.reset(seed=1)
    np.testing.assert_array_equal(observation[doubled], 2 * observation["potential"])
    assert observation[doubled].any()
    for terms in (None, ("post*doubled", "doubled*x20*w")):
        model = EventA2C(
            "PlasticityPolicy", make_sb3_env("SNNPlastic-Unsup1-v0", 2, **settings), seed=0,
            policy_kwargs={"hidden_sizes": (6,), "formula_terms": terms},
        )  # fmt: skip
        model.learn(2 * 12)
        assert list(model.policy.extra_keys) == [doubled, "potential"]


class Told(QuotaTask):
    """Tells each neuron of the readout its number."""

    def factors(self):
        return {"out": torch.arange(1.0, 1.0 + self.populations[-1].size).repeat(self.record.network.num_networks, 1)}


def seen_of(env_id, name, episodes, **settings):
    """What events show of a scalar, all of some episodes in a row."""
    env = PlasticityVectorEnv(env_id, 2, **settings, local_state=(name,))
    env.reset(seed=1)
    seen = []
    for _ in range(episodes):
        while (events := env.events()) is not None:
            seen.append(events.scalar(name).clone())
            env.apply(torch.full_like(events.weight, 0.5))
        env.finish()
    return torch.cat(seen)


def test_a_scalar_of_ones_own_is_told_factor_and_reward(monkeypatch):
    monkeypatch.setattr(local_scalars, "LOCAL_SCALARS", dict(local_scalars.LOCAL_SCALARS))
    register_local_scalar("paid", lambda view: view.reward)
    register_local_scalar("told", lambda view: view.factor)
    with registered(task=Told):
        for own, known in (("paid", "reward"), ("told", "factor")):
            values = seen_of(QUOTA, own, 4)
            torch.testing.assert_close(values, seen_of(QUOTA, known, 4), rtol=0, atol=0)
            assert values.any()


def test_the_same_scalar_may_be_registered_again_and_another_not(doubled):
    register_local_scalar(doubled, local_scalars.LOCAL_SCALARS[doubled])
    with pytest.raises(ConfigError, match="there is a local scalar 'doubled' already"):
        register_local_scalar(doubled, local_scalars.surrogate)


@pytest.mark.parametrize(
    "name", ["potential", "layer", "x", "weight", "yes", "pre", "history", "mask", "kind", "group", "a b", "", "class"]
)
def test_names_that_would_clash_are_refused_in_one_line(name):
    with pytest.raises(ConfigError) as error:
        register_local_scalar(name, lambda view: view.reward)
    assert "\n" not in str(error.value) and repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda view: 1.0, "must be a tensor of shape"),
        (lambda view: view.potential.sum(), "got ()"),
        (lambda view: view.potential.T, "must be a tensor of shape"),
    ],
)
def test_values_of_another_shape_are_refused_in_one_line(doubled, bad, message):
    register_local_scalar("bad", bad)
    env = PlasticityEnv("SNNPlastic-Unsup1-v0", **{**UNSUP, "local_state": ("bad",)})
    with pytest.raises(ConfigError) as error:
        env.reset(seed=0)
    assert message in str(error.value) and "local scalar bad of exc" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("env_id", "names", "message"),
    [
        ("SNNPlastic-Unsup1-v0", ["surogate"], "did you mean 'surrogate'"),
        ("SNNPlastic-Unsup1-v0", ["zzz"], "potential, surrogate, theta, factor, reward"),
        ("SNNPlastic-Unsup1-v0", ["theta", "theta"], "local_state names theta twice; leave one out"),
        ("SNNPlastic-Unsup1-v0", ["factor"], "local_state names factor, and this environment has no third factor"),
        ("SNNPlastic-Semi-v0", ["factor"], "set third_factor where there is such a setting"),
        ("SNNPlastic-Grad-v0", ["factor"], "no third factor"),
        ("SNNPlastic-CartPole-v0", ["factor", "reward"], "no third factor"),
        ("SNNPlastic-Semi-v0", ["layer"], "local_state names layer, which this environment does not give"),
    ],
)
def test_scalars_that_are_not_to_be_had_are_refused_in_one_line(env_id, names, message):
    dataset = {} if "Cart" in env_id else {"dataset": "digits"}
    with pytest.raises(ConfigError) as error:
        PlasticityEnv(env_id, local_state=names, **dataset)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_rule_that_needs_a_scalar_says_so_where_it_is_not_shown():
    env = PlasticityVectorEnv("SNNPlastic-Semi-v0", num_envs=1, **FORWARD, third_factor="feedback")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="needs the local scalar surrogate, its events show factor; add it to local"):
        env.run_episode(make_rule("feedback-surrogate"))
