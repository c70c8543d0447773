"""Train with `EventA2C`, and evaluate the rule on the same fresh networks before and after.

With `exploration="rule"` every lifetime follows a different perturbed rule, so that a reward is one of a rule and not
of some hundred thousand independent noises. The task is `Semi` with feedback of the output error; a minute on one core
goes to nearly 100 % (preset semi of trainers/train_a2c.py), the seconds spent here show the beginning.
"""

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.evaluation.reward import reward_of
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

ENV = "SNNPlastic-Semi-v0"
SETTINGS = {
    "dataset": "digits",
    "image_size": 14,
    "hidden_sizes": (16,),
    "third_factor": "feedback",
    "w_init": 6.0,
    "eta": 0.1,
    "alpha_spike": 0.0,
    "lifetime_length": 1,
    "common_noise": True,
}


def main(updates: int = 20) -> tuple[float, float]:
    """Train for some updates of two images for each of 16 networks; print and return the reward before and after."""
    env = make_sb3_env(ENV, num_envs=16, **SETTINGS)
    model = EventA2C(
        "PlasticityPolicy",
        env,
        n_steps=2,
        exploration="rule",
        mirrored=True,
        seed=0,
        policy_kwargs={"hidden_sizes": (32, 32), "sigma": 0.5},
    )
    config = environment_config(ENV, **SETTINGS)

    def judge() -> float:
        rule = model.policy.frozen(config.history_length)
        return reward_of(rule, ENV, config, num_lifetimes=16, num_images=64, seed=1).reward

    before = judge()
    model.learn(total_timesteps=updates * 2 * 16 * config.num_steps)
    after = judge()
    print(f"reward of a held-out image: {before:.3f} before, {after:.3f} after {updates * 32} images")
    return before, after


if __name__ == "__main__":
    main()
