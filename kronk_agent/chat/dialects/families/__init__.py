"""Model families whose format needs code of its own."""
