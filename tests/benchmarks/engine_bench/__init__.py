"""How fast the engine is, beside its peers: what ``make bench`` runs (``engine.py`` starts it)."""
