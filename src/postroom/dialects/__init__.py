"""The products' wire languages for SMTP settings: one file each, pure translation in both directions."""

from postroom.dialects.dialect import Dialect
from postroom.dialects.digitanium import Digitanium
from postroom.dialects.keycloak import Keycloak
from postroom.dialects.keyfactor import Keyfactor
from postroom.dialects.onlyoffice import OnlyOffice
from postroom.dialects.threadfix import ThreadFix
from postroom.domain.problems import NotFound

ALL: tuple[Dialect, ...] = (ThreadFix(), Keyfactor(), Digitanium(), Keycloak(), OnlyOffice())


def by_name(name: str) -> Dialect:
    """Raises NotFound."""
    for dialect in ALL:
        if dialect.name == name:
            return dialect
    raise NotFound(f"There is no such dialect; there are {', '.join(each.name for each in ALL)}.")
