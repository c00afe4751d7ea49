"""Detection of expired sessions, which servers report with many different statuses."""

from __future__ import annotations

import re

GONE_STATUSES = (404, 410)
"""Statuses that, within a session, always mean that it has ended."""
DOUBTFUL_STATUSES = (400, 401, 403, 409, 422, 500)
"""Statuses that restarted servers also answer with, sometimes without mentioning the session."""

_LONGEST = 300
"""Characters. Longer texts are about something else."""
_SESSION = re.compile(r"session|transport found", re.IGNORECASE)
_UNKNOWN = re.compile(
    r"not[ _-]?found|unknown|invalid|expired|missing|stale|terminated|closed|gone|required|mismatch"
    r"|deleted|ended|evicted|unrecogni[sz]ed|no (?:mcp )?session"
    r"|\bno (?:valid|such|active|longer|transport)|n[o']t (?:valid|exist|active|initiali[sz]ed)"
    r"|not recogni[sz]ed|(?:could not|cannot|can't|unable to) (?:find|locate)",
    re.IGNORECASE,
)
_NOT_BEGUN = re.compile(
    r"(?:server|session|client|connection) (?:is |was |has )?not (?:been |yet )*initiali[sz]ed"
    r"|before initiali[sz]ation|expect(?:ed|s|ing)? (?:an? )?initiali[sz]e"
    r"|initiali[sz]e(?: request)? (?:first|required|expected)|mcp-session-id"
    r"|\A\W*not (?:yet )?initiali[sz]ed|re-?initiali[sz]e",
    re.IGNORECASE,
)


def is_session_unknown(refusal_text: str) -> bool:
    """True if a refusal says that the session is unknown, expired or not initialized."""
    if not refusal_text or len(refusal_text) > _LONGEST:
        return False
    is_about_session = bool(_SESSION.search(refusal_text) and _UNKNOWN.search(refusal_text))
    return is_about_session or bool(_NOT_BEGUN.search(refusal_text))
