"""What a relay's certificate says, for people to look at. Reading one is not trusting it."""

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from postroom.smtp.reply import cleaned

DAY = 24 * 3600
MOST_NAMES = 20  # of one certificate; others have hundreds, and nobody reads those
_BEGIN = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The relay's own one, and in `chain` all that it showed, as PEM, its own first."""

    subject: str
    issuer: str
    names: tuple[str, ...]  # that it is good for
    ends: datetime
    sha256: str  # of the whole certificate, as openssl shows it: AA:BB:…
    chain: tuple[str, ...]

    def days_left(self, now: float) -> int:
        """Whole days from `now` (seconds since 1970); negative once it has expired."""
        return int((self.ends.timestamp() - now) // DAY)

    @property
    def anchor(self) -> str:
        """What would have to be trusted for it: the authority if the relay shows it, else the certificate itself."""
        return self.chain[-1]

    @property
    def anchor_sha256(self) -> str:
        return _fingerprint(x509.load_pem_x509_certificate(self.anchor.encode()))

    def facts(self, now: float | None = None) -> dict[str, str]:
        """For the detail of a step."""
        left = self.days_left(time.time() if now is None else now)
        return {
            "subject": self.subject,
            "names": ", ".join(self.names),
            "issuer": self.issuer,
            "expires": f"{self.ends:%b %d %H:%M:%S %Y} GMT",
            "days_left": str(left),
            "sha256": self.sha256,
            "certificates": str(len(self.chain)),
        }


def read_chain(pem: str) -> Certificate | None:
    """From what a relay showed. None where it can't be read: anybody could have written it."""
    chain = tuple(f"{_BEGIN}{each.rstrip()}\n" for each in pem.split(_BEGIN)[1:])
    try:
        own = x509.load_pem_x509_certificate(chain[0].encode())
        x509.load_pem_x509_certificate(chain[-1].encode())
        return Certificate(_name(own.subject), _name(own.issuer), _names(own), _end(own), _fingerprint(own), chain)
    except (ValueError, IndexError, OverflowError, x509.UnsupportedGeneralNameType):
        return None


def shown_by(tls: ssl.SSLObject) -> str:
    """All that the other side showed, as PEM, verified or not, its own first."""
    # Public since Python 3.13; before that the same call is one step further in.
    inner: Any = tls if hasattr(tls, "get_unverified_chain") else getattr(tls, "_sslobj", None)
    try:
        chain: Sequence[Any] = inner.get_unverified_chain() or ()
    except (AttributeError, ssl.SSLError):
        chain = ()
    ders = [each if isinstance(each, bytes) else ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain]
    if not ders and (own := tls.getpeercert(binary_form=True)):
        ders = [own]
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in ders)


def _end(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc.astimezone(UTC)


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _name(name: x509.Name) -> str:
    return ", ".join(f"{_word(each)}={_cleaned(str(each.value))}" for each in name)


def _word(attribute: "x509.NameAttribute[Any]") -> str:
    known = attribute.oid._name  # as ssl.getpeercert names them, so that both read alike
    return known if known != "Unknown OID" else attribute.oid.dotted_string


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    return tuple(_cleaned(each) for each in names[:MOST_NAMES])


def _cleaned(text: str) -> str:
    return cleaned(text.encode())
