"""Loads tools that the YAML file names: ``module:function`` or ``./file.py:function``."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from kronk_agent.errors import ConfigError
from kronk_agent.tools import Tool, tool


def load_tool(spec: str, *, base_dir: Path) -> Tool:
    """Load the tool that a spec names; a plain function is turned into a tool.

    Args:
        spec: ``module:function``, or ``path/to/file.py:function`` relative to ``base_dir``.
        base_dir: directory of the configuration file.

    Raises:
        ConfigError: the spec is malformed, or cannot be imported.
    """
    target, separator, name = spec.rpartition(":")
    if not (target and separator and name.isidentifier()):
        raise ConfigError(
            f"unknown tool {spec!r}: must be web_search, web_fetch, module:function or "
            "./file.py:function",
            key="tools",
        )
    is_file = target.endswith(".py")
    module = _import_file(base_dir / target, spec) if is_file else _import(target, spec)
    found = getattr(module, name, None)
    if isinstance(found, Tool):
        return found
    if callable(found):
        return tool(found)
    raise ConfigError(f"{spec!r}: {_missing(module, name)}", key="tools")


def _import(target: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(target)
    except Exception as error:  # boundary: runs the user's code
        raise _import_failed(spec, error) from error


def _import_file(path: Path, spec: str) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"{spec!r}: file not found: {path}", key="tools")
    name = f"kronk_tool_{path.stem}_{abs(hash(path)):x}"
    if name in sys.modules:  # tools of the same file share its module
        return sys.modules[name]
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module  # needed to resolve annotations
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:  # boundary: runs the user's code
        del sys.modules[name]
        raise _import_failed(spec, error) from error
    return module


def _import_failed(spec: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{spec!r} cannot be imported: {type(error).__name__}: {error} (see --debug)",
        key="tools",
    )


def _missing(module: ModuleType, name: str) -> str:
    if hasattr(module, name):
        return f"{name} is not a function"
    nearest = difflib.get_close_matches(name, vars(module), n=1)
    return f"{name} not found in it" + (f": did you mean {nearest[0]}?" if nearest else "")
