"""Measurements of speed, memory and loss, side by side with the plain way."""
