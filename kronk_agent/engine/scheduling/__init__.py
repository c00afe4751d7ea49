"""Scheduling: which sequences run, and how many prompt tokens each step computes."""
