"""Users' modules, `--plugin MODULE`, imported before tasks, rules or networks are looked up by name.

A plugin is a Python file (`my_module.py`) or the dotted name of a module. A run records its plugins in config.yaml as
they were given; programs that read the run import them again, and print that, since it runs their code.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, config_class, read_yaml, setting
from snn_plasticity_gym.config.values import one_line


@config_class
class PluginSettings:
    """Settings of programs that look up tasks, rules or networks by name."""

    plugin: tuple[str, ...] = setting(
        (),
        "Modules of your own, files such as my_module.py or dotted names, that are imported first, so that the tasks, "
        "rules and parts of networks that they register can be named. May be given several times.",
        section="Run",
        basic=True,
        path=True,
    )


_logger = logging.getLogger("snn_plasticity_gym")


def plugin_names(value: Any) -> tuple[str, ...]:
    """Return the plugins that a setting names: a list of them, or a text with commas."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    return tuple(os.path.expanduser(part.strip()) for part in parts if isinstance(part, str) and part.strip())


def import_plugins(names: Iterable[str], named_by: str = "") -> None:
    """Import plugins, each once.

    Args:
        names: Paths of Python files, or dotted names of modules.
        named_by: Source of the names if not the user, e.g. a file; a warning is then printed.

    Raises:
        ConfigError: One cannot be found or imported; the line names file and line of the mistake.
    """
    for name in names:
        if named_by:
            _logger.warning("%s: importing the plugin %s, which runs its code", named_by, name)
        if name.endswith(".py") or os.sep in name:
            _import_file(name)
        else:
            _import_module(name)


def import_plugins_of(run: str | Path) -> None:
    """Import the plugins in a run's config.yaml; a path that is no run folder has none.

    Raises:
        ConfigError: As for `import_plugins`.
    """
    path = Path(run) / "config.yaml"
    if path.is_file():
        import_plugins(plugin_names(read_yaml(path).get("plugin")), named_by=str(path))


def _import_file(name: str) -> None:
    """Import a file as the module of its name, so that its classes can be pickled and unpickled."""
    path = Path(name).resolve()
    module_name = path.stem
    known = sys.modules.get(module_name)
    if known is not None and file_of(known) == path:
        return
    if not path.is_file():
        raise ConfigError(f"there is no plugin {name}; give a Python file, seen from {Path.cwd()}, or a module's name")
    if not module_name.isidentifier():
        raise ConfigError(f"a plugin's file is named as a module, letters, digits and _ and .py at the end, got {name}")
    other = known or importlib.util.find_spec(module_name)
    if other is not None and file_of(other) != path:
        raise ConfigError(f"the plugin {name} would hide the module {module_name}; give its file another name")
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"the plugin {name} is no Python file; its name must end in .py")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for modules in the same folder
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise _broken(name, error, str(path)) from error


def _import_module(name: str) -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # the working directory, as with `python -m`
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a package of the name is missing, or it is no name
        spec = None
    except Exception as error:  # a package of the name cannot be imported
        raise _broken(name, error, "") from error
    if spec is None:
        raise ConfigError(f"there is no plugin {name}; give the name of a module, or a Python file, which ends in .py")
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _broken(name, error, spec.origin or "") from error


def file_of(module: Any) -> Path | None:
    """Return the file of a module, or of a module spec."""
    file = getattr(module, "__file__", None) if isinstance(module, ModuleType) else module.origin
    return Path(file).resolve() if file and file not in ("built-in", "frozen") else None


def _broken(name: str, error: BaseException, file: str) -> ConfigError:
    """Return the error for a plugin's exception, with the last line reached in the plugin."""
    if isinstance(error, SyntaxError) and error.filename:
        place, line, reason = error.filename, error.lineno, error.msg
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
        own = [frame for frame in frames if frame.filename == file] or frames
        place, line, reason = own[-1].filename, own[-1].lineno, str(error)
    summary = one_line(f"{type(error).__name__}: {reason}" if reason else type(error).__name__)
    return ConfigError(f"cannot import the plugin {name}: {summary} ({place}, line {line})")
