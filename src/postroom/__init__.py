"""Postroom: where an organisation's outgoing-mail settings live and where its notification mail leaves."""

__version__ = "0.1.0"
