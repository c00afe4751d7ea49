"""Why a server failed, in words that say what to do."""
