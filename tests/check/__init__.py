"""Broken relays and settings, and what the check makes of each."""
