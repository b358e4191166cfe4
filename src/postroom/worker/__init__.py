"""Brings what is in the queue to its relays."""
