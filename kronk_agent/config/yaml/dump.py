"""Dumps the effective configuration as YAML, without secrets."""

from __future__ import annotations

import io

from ruamel.yaml import YAML

from kronk_agent.config.loading import LoadedConfig
from kronk_agent.config.schema.schema_path import setting_at
from kronk_agent.config.secrets import masked_url
from kronk_agent.config.yaml.sourced import KeyPath
from kronk_agent.config.yaml.variables import escape
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.redaction import MASK


def to_yaml(loaded: LoadedConfig) -> str:
    """Dump the configuration as YAML that can be loaded again, except for masked values.

    Values of headers and environment variables are masked, as are possible keys in URLs of MCP
    servers. A text with ``${VAR}`` is written as in the file, since the value of the variable may
    be a secret.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 2**31  # never fold lines: folded text is hard to read and to grep
    yaml.representer.sort_base_mapping_type_on_output = False
    out = io.StringIO()
    yaml.dump(_shown(loaded.config.model_dump(mode="json"), (), loaded), out)
    return out.getvalue()


def server_as_shown(loaded: LoadedConfig, name: str) -> JsonObject:
    """Return an MCP server's entry with secrets masked and variables unresolved."""
    entry = loaded.config.mcp_servers[name].model_dump(mode="json")
    shown = _shown(entry, ("mcp_servers", name), loaded)
    assert isinstance(shown, dict)
    return shown


def _shown(value: JsonValue, path: KeyPath, loaded: LoadedConfig) -> JsonValue:
    match value:
        case dict():
            return {key: _shown(item, (*path, key), loaded) for key, item in value.items()}
        case list():
            return [_shown(item, (*path, index), loaded) for index, item in enumerate(value)]
        case str():
            setting = setting_at(path)
            if setting is not None and setting.is_secret:
                return MASK
            is_server_url = path[0] == "mcp_servers" and path[-1] == "url"
            return loaded.written.get(path) or escape(masked_url(value) if is_server_url else value)
        case _:
            return value
