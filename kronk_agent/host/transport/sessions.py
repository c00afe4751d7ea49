"""Recognises a server that no longer knows our session, whatever status it says so with."""

from __future__ import annotations

import re

GONE_STATUSES = (404, 410)
"""In a session, these alone say that it is over."""
DOUBTFUL_STATUSES = (400, 401, 403, 409, 422, 500)
"""Servers that were restarted answer with these too, some without a word of the session."""

_LONGEST = 300
"""Characters. What says more is about something else."""
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


def is_session_unknown(said: str) -> bool:
    """True if the words of a refusal mean that the session is unknown, expired or not begun."""
    if not said or len(said) > _LONGEST:
        return False
    is_about_session = bool(_SESSION.search(said) and _UNKNOWN.search(said))
    return is_about_session or bool(_NOT_BEGUN.search(said))
