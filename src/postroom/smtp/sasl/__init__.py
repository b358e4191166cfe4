"""Logging in (RFC 4422, RFC 4954): mechanisms as objects that answer challenges, one file a family.

A mechanism is tried once; there is no going on to a weaker one after a no, which would hand the password to whoever
said no. Another mechanism is one more class, and its place in `choice.py`.
"""
