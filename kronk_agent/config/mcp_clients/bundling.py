"""An MCP bundle (``.mcpb``) that starts this installation, for hosts that install bundles.

The format is github.com/anthropics/mcpb's, manifest version 0.3.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from kronk_agent import __version__
from kronk_agent.messages import JsonObject

_DESCRIPTION = "A local agent: it searches and reads the web, and uses your MCP servers."


def bundle_manifest(program: list[str], config: Path | None) -> JsonObject:
    """Return the manifest of the bundle.

    Args:
        program: the command that starts kronk-agent; its first word is an absolute path.
        config: the default YAML file, which the user can change in the host. None: kronk-agent
            looks for its configuration itself.
    """
    manifest: JsonObject = {
        "manifest_version": "0.3",
        "name": "kronk-agent",
        "display_name": "kronk-agent",
        "version": __version__,
        "description": _DESCRIPTION,
        "author": {"name": "kronk-agent"},
        "license": "Apache-2.0",
        # "binary": the host needs no Python or Node runtime for it.
        "server": {
            "type": "binary",
            "entry_point": program[0],
            "mcp_config": {
                "command": program[0],
                "args": [
                    *program[1:],
                    *([] if config is None else ["--config", "${user_config.config}"]),
                    *("mcp", "serve"),
                ],
            },
        },
        "tools_generated": True,  # depends on the configuration
        "prompts_generated": True,
    }
    if config is not None:
        manifest["user_config"] = {
            "config": {
                "type": "file",
                "title": "Configuration",
                "description": "The YAML configuration file of kronk-agent.",
                "required": False,
                "default": str(config),
            }
        }
    return manifest


def bundle(manifest: JsonObject) -> bytes:
    """Return the content of the bundle file with this manifest."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return packed.getvalue()
