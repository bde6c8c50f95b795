"""Calculators joined by named streams of timestamped packets."""
