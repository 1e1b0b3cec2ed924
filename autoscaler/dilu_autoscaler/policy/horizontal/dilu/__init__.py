"""Dilu's own horizontal policy, the default."""
