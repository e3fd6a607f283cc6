"""Measurements, each printed by a command."""
