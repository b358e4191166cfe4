"""Names of machines: the host that is dialled, and the name that we give ourselves."""

import ipaddress

from postroom.domain.address import domain_name
from postroom.domain.problems import Invalid


def host_name(text: str, field_name: str = "host") -> str:
    """A relay's host: a domain name as A-labels, or an IP address in its one canonical spelling. Raises Invalid."""
    if not text.strip():
        raise Invalid(field_name, "The relay's host name is missing.")
    text = text.strip().rstrip(".")
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        pass
    else:
        # RFC 4007 11: after the "%" of a zone anything may stand, and zones are for link-local addresses only.
        if "%" not in text:
            return str(address)
    try:
        return domain_name(text, field_name)
    except Invalid:
        raise Invalid(
            field_name, "The host must be a plain host name (smtp.company.com) or IP address, without port or scheme."
        ) from None


def ehlo_name(text: str, field_name: str = "ehlo_name") -> str:
    """What we call ourselves (RFC 5321 4.1.4): a domain name or an address literal. Raises Invalid."""
    if text.startswith("[") and text.endswith("]"):
        try:
            ipaddress.ip_address(text[1:-1].removeprefix("IPv6:"))
        except ValueError:
            raise Invalid(field_name, "An address in brackets must be an IP address, such as [192.0.2.1].") from None
        return text
    return domain_name(text, field_name)
