"""The compiled way through whole images, for rules in closed form on the CPU."""

from snn_plasticity_gym.envs.compiled.images import CompiledImages, closed_form_of

__all__ = ["CompiledImages", "closed_form_of"]
