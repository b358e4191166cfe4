"""The kill campaign: `python -m kills --kills 500` (in tests/; or `.ci/kills`).

A real Postroom is killed with SIGKILL again and again, at random moments and at named ones, under load. What was
accepted, what arrived and what the dead server had marked as in doubt is written down by the campaign itself; it never
asks Postroom what was delivered. One process is one *life*.
"""
