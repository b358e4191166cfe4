"""The products' wire languages for SMTP settings: one file each, pure translation in both directions."""

from postroom.dialects.dialect import Dialect
from postroom.dialects.keyfactor import Keyfactor
from postroom.dialects.threadfix import ThreadFix

ALL: tuple[Dialect, ...] = (ThreadFix(), Keyfactor())
