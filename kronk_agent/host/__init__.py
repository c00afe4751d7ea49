"""MCP host: starts the registered servers, keeps them alive and offers their tools as toolsets."""

from kronk_agent.host.client_features.user import (
    ElicitAction,
    FormAnswer,
    FormElicitation,
    FormValues,
    SamplingApproval,
    ToolApproval,
    UrlElicitation,
    UserInteraction,
)
from kronk_agent.host.host import Host
from kronk_agent.host.resources.catalog import Prompts, Resources
from kronk_agent.host.resources.types import (
    Prompt,
    PromptArgument,
    PromptMessages,
    Resource,
    ResourceContents,
    ResourceTemplate,
)
from kronk_agent.host.server import ServerState, ServerStatus

__all__ = [
    "ElicitAction",
    "FormAnswer",
    "FormElicitation",
    "FormValues",
    "Host",
    "Prompt",
    "PromptArgument",
    "PromptMessages",
    "Prompts",
    "Resource",
    "ResourceContents",
    "ResourceTemplate",
    "Resources",
    "SamplingApproval",
    "ServerState",
    "ServerStatus",
    "ToolApproval",
    "UrlElicitation",
    "UserInteraction",
]
