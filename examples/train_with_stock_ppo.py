"""Train with Stable-Baselines3's PPO: `PlasticityPolicy` fits any of its actor-critic algorithms.

Here an action is all event slots of an observation at once, so one reward must be credited to some thousand weight
changes; `train_with_event_a2c.py` shows the algorithm with separate actions for events.
"""

from stable_baselines3 import PPO

from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env


def main(images: int = 4) -> PPO:
    """Train on some images for each of two networks, and predict the actions of one observation."""
    env = make_sb3_env(
        "SNNPlastic-Unsup1-v0",
        num_envs=2,
        dataset="digits",
        n_exc=8,
        num_steps=20,
        history_length=20,
        events_per_step=512,
        gain_input_exc=8.0,
    )
    model = PPO(PlasticityPolicy, env, n_steps=20, batch_size=20, n_epochs=2, seed=0, device="cpu")
    model.learn(total_timesteps=2 * 20 * images)
    observation = env.reset()
    delta_d, _ = model.predict(observation, deterministic=True)  # (2 networks, 512 slots)
    used = observation["mask"] > 0
    print(f"{model.num_timesteps} steps; {used.sum()} events, delta_d {delta_d[used].mean():+.4f} on average")
    return model


if __name__ == "__main__":
    main()
