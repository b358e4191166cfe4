"""The fixtures of `smtp/`: certificates and relays."""

from smtp.conftest import certificates, relay

__all__ = ["certificates", "relay"]
