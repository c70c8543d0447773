"""Write a plasticity rule, apply it to a network, and measure its reward.

A rule maps every synapse event to a weight change in [-1, 1]. This one is the simplest Hebbian rule: a synapse
grows if its pre neuron fired in the last 20 ms when the post neuron fires, and shrinks otherwise.
"""

import gymnasium
import numpy as np

import snn_plasticity_gym  # registers the environments


def hebbian(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Return a weight change for each event slot."""
    pre_fired_lately = observation["history"][:, 0, -20:].any(axis=1)  # (E,)
    post_fires = observation["kind"] > 0  # 0: only the pre neuron fired
    return np.where(post_fires, np.where(pre_fired_lately, 0.5, -0.5), 0.0).astype(np.float32)


def main(images: int = 3) -> list[float]:
    """Present some images to one network; return the reward of each."""
    print("environments:", ", ".join(snn_plasticity_gym.ENVIRONMENTS))
    env = gymnasium.make("SNNPlastic-Unsup1-v0", dataset="digits", n_exc=50, image_pool=2)
    rewards = []
    for image in range(images):
        observation, info = env.reset(seed=0 if image == 0 else None)  # without a seed: the next image, same network
        terminated = False
        while not terminated:
            observation, reward, terminated, _, info = env.step(hebbian(observation))
        terms = {name: round(value, 3) for name, value in info["reward_terms"].items()}
        print(
            f"digit {info['label']}: {info['num_events']} events, winner {info['winner']}, reward {reward:.3f} {terms}"
        )
        rewards.append(reward)
    return rewards


if __name__ == "__main__":
    main()
