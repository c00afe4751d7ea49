"""Grammar-constrained generation: compiling grammars, and limits on what they may cost."""
