"""A page for each registered environment, in Gymnasium's form.

All of it is read from the environment itself when the manual is built: docstrings, settings, spaces, the network that
it makes, and a picture of it.
"""

from __future__ import annotations

import importlib
import io
import re
import warnings
from typing import Any

import gymnasium
import jinja2
from generated import folder, table, write
from gymnasium.spaces import Box, Dict, Space
from house_docstrings import introduction, section, to_markdown
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util import logging

from snn_plasticity_gym import ENVIRONMENTS, EnvironmentConfig, ImageConfig
from snn_plasticity_gym.config.environments import TASKS
from snn_plasticity_gym.config.schema import ConfigError, SettingInfo, setting_fields
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.rewards.classification import ClassificationReward
from snn_plasticity_gym.rewards.unsupervised import UnsupervisedReward
from snn_plasticity_gym.rules.registry import make_rule

PREFIX = "SNNPlastic-"
NEUTRAL = (EnvironmentConfig, ImageConfig, object)  # whose docstrings say nothing of one environment
REWARDS: dict[str, Any] = {"UnsupervisedTask": UnsupervisedReward, "ClassificationTask": ClassificationReward}
IMAGES: dict[str, Any] = {"dataset": "digits"}  # that need no network
TEACHERS = {"SNNPlastic-Semi-v0": "feedback"}  # third factors without which nothing is learned
JUDGES = {
    "labels": "labels that neurons are given afterwards",
    "classifier": "answers to test images",
    "returns": "returns",
}
SHOWN = 12  # images that it has seen before the last one

_logger = logging.getLogger(__name__)
_PAGE = jinja2.Template(
    """# {{ id }}

![One lifetime of {{ id }}: what it is shown, its weights, its last reward, its spikes]({{ name }}.png)

{{ summary }}

{{ glance }}

```python
import gymnasium
import snn_plasticity_gym  # registers the environments

env = gymnasium.make("{{ id }}")  # one network
envs = gymnasium.make_vec("{{ id }}", num_envs=8)  # eight in one batch
```

## Description

{{ description }}

## Network

With default settings{{ data }}. Weights have no unit; *gain* is the charge of a spike at weight 1.

{{ populations }}

{{ projections }}

## Observation

{{ observation_header }}. Values of the default settings:

{{ observation }}

{{ observation_notes }}

## Action

{{ action }}

## Reward

{{ reward }}

## Episode end

{{ end }}

## Settings that matter most

Arguments of `gymnasium.make`, flags of the programs, and keys of sweeps.

{{ basic }}

## All other settings

{{ others }}

## Version history

{{ history }}
"""
)


def environment_ids() -> list[str]:
    """Return the ids of the package's own environments."""
    return [env_id for env_id in ENVIRONMENTS if env_id.startswith(PREFIX)]


def short_name(env_id: str) -> str:
    """Return the name of the page, e.g. "unsup1"."""
    return env_id.removeprefix(PREFIX).rpartition("-v")[0].lower()


def task_class(env_id: str) -> Any:
    """Return the class of an environment's task."""
    task = TASKS[env_id]
    if not isinstance(task, str):
        return task
    module, _, name = task.partition(":")
    return getattr(importlib.import_module(module), name)


def settings_table(infos: list[SettingInfo]) -> str:
    """Return a table of settings."""
    return table(
        ["setting", "default", "meaning"],
        [[f"`{info.name}`", f"`{_default(info)}`", _meaning(info)] for info in infos],
    )


def _default(info: SettingInfo) -> str:
    value = f"{info.default:g}" if isinstance(info.default, float) else str(info.default)
    return f"{value or repr('')}{f' {info.unit}' if info.unit and info.default is not None else ''}"


def _meaning(info: SettingInfo) -> str:
    facts = [f"one of {', '.join(f'`{choice}`' for choice in info.choices)}"] if info.choices else []
    facts += [info.range] if info.range else []
    text = info.help.replace("*", "\\*")
    return text + (f" ({'; '.join(facts)})" if facts else "")


def meanings() -> dict[str, str]:
    """Return what each key of an observation means, from the table of the environment's docstring."""
    lines = section(PlasticityEnv.__doc__ or "", "Observation").lines
    rows = [re.match(r"\| `(\w+)` \|.*\| (.*) \|$", line) for line in lines]
    return {row[1]: row[2] for row in rows if row}


def observation_table(space: Space[Any]) -> str:
    """Return a table of what an observation holds.

    Raises:
        KeyError: The docstring of the environment does not say what a key means.
    """
    assert isinstance(space, Dict)
    known = meanings()
    rows = []
    for key, part in space.items():
        bounds = f"{part.low.min():g} to {part.high.max():g}" if isinstance(part, Box) else "0 or 1"
        rows.append([f"`{key}`", str(part.shape), str(part.dtype), bounds, known[key]])
    return table(["key", "shape", "type", "range", "meaning"], rows)


def populations_table(populations: list[Population]) -> str:
    """Return a table of the populations of a network."""
    rows = []
    for population in populations:
        lif = population.lif
        cell = "input: its spikes are given" if lif is None else f"LIF, τ {lif.tau_mem:g} ms, threshold {lif.v_th:g}"
        if lif is not None and population.groups is not None:
            size, width = population.groups
            cell = f"winner-take-all groups of {size}, τ {lif.tau_mem:g} ms, softmax of width {width:g}"
        rows.append([population.name, f"{population.size:,}", cell])
    return table(["population", "neurons", "kind"], rows)


def projections_table(projections: list[Projection], groups: list[str]) -> str:
    """Return a table of the synapses of a network."""
    rows = []
    for projection in projections:
        plasticity = projection.plasticity
        reach = "one to one" if projection.one_to_one else "all to all"
        reach += "" if projection.autapses or projection.one_to_one else " but itself"
        reach += ", a step later" if projection.recurrent else ""
        plastic = "fixed"
        if plasticity is not None:
            head = groups[plasticity.group]
            plastic = f"head `{head}`, η {plasticity.scale:g}, {plasticity.w_min:g} ≤ w ≤ {plasticity.w_max:g}"
        way = f"{projection.source} → {projection.target}"
        rows.append([projection.name, way, reach, f"{projection.gain:.3g}", plastic])
    return table(["synapses", "from → to", "reach", "gain", "plasticity"], rows)


def picture(env_id: str) -> bytes:
    """Return a picture of a lifetime that has learned a little by a hand-written rule, as a PNG file."""
    config = ENVIRONMENTS[env_id]
    images = issubclass(config, ImageConfig)
    settings: dict[str, Any] = dict(IMAGES) if images else {"max_actions": 20}
    if env_id in TEACHERS:
        settings["third_factor"] = TEACHERS[env_id]
    rule = make_rule("delta" if env_id in TEACHERS else "target-stdp" if images else "zero")
    network = PlasticityVectorEnv(env_id, render_mode="rgb_array", **settings)
    network.reset(seed=0)
    for _ in range(SHOWN if images else 0):
        network.run_episode(rule)
    while (events := network.events()) is not None:  # the last one step by step, so that its spikes are kept
        network.apply(rule(events))
    frames = network.render()
    network.close()
    assert frames is not None
    buffer = io.BytesIO()
    Image.fromarray(frames[0]).quantize(64).save(buffer, format="PNG")
    return buffer.getvalue()


def page(env_id: str) -> str:
    """Return the page of one environment."""
    config = ENVIRONMENTS[env_id]
    images = issubclass(config, ImageConfig)
    env = PlasticityEnv(env_id, **(IMAGES if images else {}))
    assert isinstance(env.observation_space, Dict)
    engine, threshold = env.engine, gymnasium.spec(env_id).reward_threshold
    task = engine.task
    documented = [cls for cls in config.__mro__ if cls not in NEUTRAL and "__doc__" in vars(cls)]
    common = PlasticityEnv.__doc__ or ""
    observation = section(common, "Observation")
    notes = "\n".join(line for line in observation.lines if not line.startswith("|"))
    infos = setting_fields(config)
    glance = [
        ["action space", f"`{env.action_space}`"],
        ["observation space", f"Dict of {', '.join(f'`{key}`' for key in env.observation_space)}"],
        ["time steps of an episode", f"{task.num_steps} of {config().dt:g} ms" + ("" if images else " at most")],
        ["policy heads", ", ".join(f"`{head}`" for head in engine.heads)],
        ["rules are judged by", JUDGES[task.judge_by]],
        ["solved at a return of", "not defined" if threshold is None else f"{threshold:g}"],
    ]  # fmt: skip
    ends = section(common, "Episode end").lines
    text = _PAGE.render(
        id=env_id,
        name=short_name(env_id),
        summary=introduction(documented[0]).partition("\n\n")[0],
        glance=table(["at a glance", ""], glance),
        description=_description(env_id, documented, common),
        data=" and scikit-learn's digits" if images else "",
        populations=populations_table(task.populations),
        projections=projections_table(task.projections, task.groups),
        observation_header=observation.header.replace("Observation, a", "A"),
        observation=observation_table(env.observation_space),
        observation_notes=to_markdown(notes.splitlines()),
        action=to_markdown(section(common, "Action").lines),
        reward=_reward(env_id, images),
        end=_end(to_markdown(ends), images),
        basic=settings_table([info for info in infos if info.basic]),
        others=_by_section([info for info in infos if not info.basic]),
        history=to_markdown(section(common, "Version history").lines),
    )
    env.close()
    return text


def _description(env_id: str, documented: list[Any], common: str) -> str:
    own = [introduction(cls) for cls in documented]
    rest = [own[0].partition("\n\n")[2], *own[1:]]
    return "\n\n".join([*filter(None, rest), to_markdown(section(common, "Description").lines)])


def _reward(env_id: str, images: bool) -> str:
    task = task_class(env_id)
    if not images:
        return (
            "What the world pays, in the step that ends an action; the return of an episode is the world's own. "
            + introduction(task).partition("\n\n")[0]
        )
    return introduction(REWARDS.get(task.__name__, task))


def _end(text: str, images: bool) -> str:
    """Return the paragraph of worlds or that of images."""
    worlds = [part for part in text.split("\n\n") if part.startswith("In a world")]
    rest = [part for part in text.split("\n\n") if not part.startswith("In a world")]
    return "\n\n".join(rest if images else worlds)


def _by_section(infos: list[SettingInfo]) -> str:
    names = list(dict.fromkeys(info.section for info in infos))
    return "\n\n".join(
        f"### {name}\n\n{settings_table([info for info in infos if info.section == name])}" for name in names
    )


def content(env_id: str) -> tuple[str, bytes | None]:
    """Return page and picture; where a world needs what is not installed, a page that says so, and no picture."""
    try:
        return page(env_id), picture(env_id)
    except ConfigError as error:
        if issubclass(ENVIRONMENTS[env_id], ImageConfig):  # which needs nothing from elsewhere
            raise
        _logger.info("%s has a short page: %s", env_id, error)
        return short_page(env_id, str(error)), None


def short_page(env_id: str, why: str) -> str:
    """Return what is known of an environment that cannot be made here."""
    config = ENVIRONMENTS[env_id]
    basic = settings_table([info for info in setting_fields(config) if info.basic])
    return (
        f"# {env_id}\n\n{introduction(config)}\n\nSpaces and network are left out: the environment could not be made "
        f"where this manual was built (`{why}`).\n\n## Settings that matter most\n\n{basic}\n"
    )


def overview() -> str:
    """Return the table of all environments."""
    rows = []
    for env_id in environment_ids():
        name = f"[{env_id}](generated/environments/{short_name(env_id)}.md)"
        rows.append([name, introduction(ENVIRONMENTS[env_id]).partition("\n\n")[0]])
    return table(["environment", "what it is"], rows)


def _write(app: Sphinx) -> None:
    made = folder(app, "environments")
    names = {short_name(env_id) for env_id in environment_ids()}
    for path in made.iterdir():
        if path.stem not in names:  # of an environment that is gone
            path.unlink()
    write(folder(app) / "environments_table.txt", overview())
    for env_id in environment_ids():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of populations that stay silent
            text, image = content(env_id)
        write(made / f"{short_name(env_id)}.md", text)
        if image is not None:
            write(made / f"{short_name(env_id)}.png", image)


def setup(app: Sphinx) -> dict[str, bool]:
    """Be an extension."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}
