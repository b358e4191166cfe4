"""The products' wire languages for SMTP settings: one file each, pure translation in both directions."""

from postroom.dialects.dialect import Dialect
from postroom.dialects.digitanium import Digitanium
from postroom.dialects.keycloak import Keycloak
from postroom.dialects.threadfix import ThreadFix

ALL: tuple[Dialect, ...] = (ThreadFix(), Digitanium(), Keycloak())
