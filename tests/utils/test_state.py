"""Environments go on from a saved state as if they had never stopped."""

import io
from typing import Any

import pytest
import torch

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

K = 8
UNSUP: dict[str, Any] = {"n_exc": 6, "gain_input_exc": 20.0, "image_pool": 3}
DEEP: dict[str, Any] = {"hidden_sizes": (5,), "max_rate": 0.4}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "unsup1": ("SNNPlastic-Unsup1-v0", UNSUP | {"exc_theta_plus": 0.5}),
    "unsup2": ("SNNPlastic-Unsup2-v0", UNSUP | {"event_kinds": "split", "reward_form": "information"}),
    "reward": ("SNNPlastic-Unsup1-v0", UNSUP | {"modulation": "reward", "lifetime_length": 3}),
    "plastic": (
        "SNNPlastic-Unsup1-v0",
        UNSUP | {"plastic_episodes": 4, "exc_theta_plus": 0.5, "eta_decay": 2.0, "heldout_pool": 5, "heldout_shift": 1},
    ),
    "common": ("SNNPlastic-Unsup1-v0", UNSUP | {"common_noise": True, "reward_form": "product"}),
    "grad": ("SNNPlastic-Grad-v0", DEEP | {"layer_scalars": (0.5, 1.0)}),
    **{f: ("SNNPlastic-Semi-v0", DEEP | {"third_factor": f}) for f in ("none", "reward", "teaching", "feedback")},
}


def make(name: str) -> PlasticityVectorEnv:
    env_id, settings = SETTINGS[name]
    common: dict[str, Any] = {"dataset": "digits", "num_steps": K, "history_length": K}
    return PlasticityVectorEnv(env_id, num_envs=2, **(common | settings))


def live(env: PlasticityVectorEnv, images: int, stream: torch.Generator) -> list[Any]:
    """Show images under random changes, and return all that can be seen."""
    seen: list[Any] = []
    for _ in range(images):
        while (events := env.events()) is not None:
            seen += [events.weight, events.extras, events.histories]
            env.apply(2 * torch.rand(len(events.weight), generator=stream) - 1)
        result = env.finish()
        seen += [result.reward, result.info["winner"], result.info["image"], result.rates, *result.terms.values()]
        seen.append(env.engine.network.weights.clone())
    return seen


def through_a_file(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("before", [2, 5])
@pytest.mark.parametrize("name", SETTINGS)
def test_an_environment_goes_on_as_if_it_had_never_stopped(name, before):
    env, other, stream = make(name), make(name), torch.Generator().manual_seed(0)
    env.reset(seed=5)
    live(env, before, stream)
    other.load_state_dict(through_a_file(env.state_dict()))
    same = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    wanted, got = live(env, 3, same[0]), live(other, 3, same[1])
    assert len(wanted) == len(got)
    for one, two in zip(wanted, got, strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=0, equal_nan=True)
    other.reset(seed=9), env.reset(seed=9)
    for one, two in zip(live(env, 1, same[0]), live(other, 1, same[1]), strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=0, equal_nan=True)


def test_there_is_no_state_within_an_image():
    env = make("unsup1")
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="between two episodes only"):
        env.state_dict()


def test_a_state_of_other_sizes_is_refused():
    env = make("unsup1")
    env.reset(seed=0)
    live(env, 1, torch.Generator().manual_seed(0))
    env_id, settings = SETTINGS["unsup1"]
    smaller = settings | {"n_exc": 5, "dataset": "digits", "num_steps": K, "history_length": K}
    with pytest.raises(ValueError, match=r"weights must be torch.float32 of shape"):
        PlasticityVectorEnv(env_id, num_envs=2, **smaller).load_state_dict(env.state_dict())
