"""The durable queue: accept, claim, mark in doubt, renew, settle.

Nearly every function here is a `Batch` for `Database.fold`: it does what many callers asked for in one go, inside the
transaction that all of them share.

A **lane** is one profile's stream of mail (`lanes.py`). **Claiming** (`claim.py`) pushes `due_at` to the end of the
lease and writes a fresh lease; whatever is written about a claim later names it, so that a worker that overslept
changes nothing, and a dead worker's mail is simply due again.
"""
