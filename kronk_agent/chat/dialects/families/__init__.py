"""Model families that template analysis does not understand: one module and ``FAMILY`` each."""
