"""Damaged inputs, hostile banks, bad messages and sudden ends, made from a seed; see docs/reliability.md."""
