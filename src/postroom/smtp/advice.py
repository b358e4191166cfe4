"""What an administrator can do about each code. One sentence or two, in the imperative; a place to say more later."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "settings.no_password": "Enter the relay's password (with OAuth 2, the client's secret), or switch login off.",
        "settings.no_refresh_token": "Sign in at the provider, and enter the refresh token that it gives.",
        "settings.secret_lost": "Restore the vault key that is named, or enter the secret again.",
        "settings.reference": "Look whether the operator allows the reference, and whether what it names is there.",
        "settings.unusable": "Restore the vault key, or enter the secret again.",
        "settings.no_sender": "Set the sender's address in the profile.",
        "settings.ca_unreadable": "Paste the authority's certificates as PEM text (-----BEGIN CERTIFICATE-----).",
        "settings.unsendable": "Remove line breaks and control characters from the settings.",
        "resolve.unknown": "Check the spelling of the host; ask whoever runs the DNS whether the name exists.",
        "resolve.temporary": "It is tried again by itself. If it lasts, check this machine's name servers.",
        "policy.filtered": "Choose an address that the recipient filter allows, or change the filter.",
        "policy.address_refused": "Use another relay, or ask the operator to allow its network for relays.",
        "connect.refused": "Check the port (25, 465 or 587) and whether the relay is running.",
        "connect.timeout": "Check the host and port, and whether a firewall on the way drops the connection.",
        "connect.unreachable": "Check the network and the route from this machine to the relay.",
        "connect.failed": "Check the host and port, and the network between this machine and the relay.",
        "greeting.not_smtp": "Check the port: the usual ones are 25, 587 and 465. For 465 choose TLS from the start.",
        "greeting.refused": "Ask the relay's administrator whether this machine's address is allowed to connect.",
        "ehlo.refused": "Check the name that we greet with (EHLO); if TLS or login is set, the relay must know EHLO.",
        "tls.not_offered": "Use the port that offers STARTTLS (usually 587), or TLS on port 465. "
        "If the relay used to offer it, somebody on the way may be removing it.",
        "tls.refused": "Ask the relay's administrator why STARTTLS fails; its certificate may be missing.",
        "tls.name_mismatch": "Use the name that is in the certificate as host, or set it as server name.",
        "tls.expired": "The relay's administrator must renew the certificate (or set the clock right).",
        "tls.not_yet_valid": "Check the clocks of this machine and of the relay.",
        "tls.self_signed": "Add the relay's certificate, or that of its authority, to the profile's CA certificates.",
        "tls.untrusted": "Add the authority's certificate to the profile, or have the relay send its whole chain.",
        "tls.version": "The relay must offer TLS 1.2 or newer; if the settings ask for 1.3, 1.2 may do as well.",
        "tls.handshake": "Check that the port expects TLS in the way that is set: 465 from the start, 587 by STARTTLS.",
        "tls.injection": "Do not use this connection: somebody on the way may be tampering with it. "
        "Tell whoever runs the network, or update the relay's software.",
        "auth.not_offered": "Switch login off, or use the port that offers it (usually 587 or 465, with TLS).",
        "auth.no_common_mechanism": "Choose another way to log in, name one of the mechanisms that it offers or none, "
        "or ask the relay's administrator to offer this one over TLS.",
        "auth.disabled": "Choose OAuth 2 to log in, or ask the provider's administrator to allow this for the mailbox.",
        "auth.rejected": "Enter user name and password again; some relays need an app password. "
        "If both are right, the relay may offer a mechanism that it can't do: name another one in the settings.",
        "auth.unproved": "Do not trust what answers there: check the host and its certificate, and ask the relay's "
        "administrator. If it is the right one, name another mechanism in the settings.",
        "auth.temporary": "It is tried again by itself. If it lasts, ask the relay's administrator.",
        "auth.malformed": "Ask the relay's administrator; its login is out of order.",
        "auth.plaintext_forbidden": "Choose STARTTLS or TLS in the settings.",
        "auth.required": "Switch login on and enter the user name and password for the relay.",
        "oauth.unreachable": "Check the token endpoint's address and the network between this machine and it.",
        "oauth.address_refused": "Use another token endpoint, or ask the operator to allow its network for relays.",
        "oauth.untrusted": "Check the token endpoint's address; if its certificate comes from your own authority, "
        "add that to the profile's CA certificates.",
        "oauth.refused": "Check the client's id, its secret (it may have expired), the scope and the audience, and "
        "whether the provider has granted this client what it asks for.",
        "oauth.signed_out": "Sign in again: get a new refresh token from the provider, and enter it in the settings.",
        "oauth.not_kept": "It is tried again by itself. If it lasts, check Postroom's database and disk.",
        "oauth.temporary": "It is tried again by itself. If it lasts, ask the provider of the token endpoint.",
        "oauth.malformed": "Check the token endpoint's address: it must be the one that gives tokens, "
        "without redirection.",
        "tls.expires_soon": "The relay's administrator should renew the certificate now: with it, the mail stops.",
        "tls.unverified": "Anybody on the way can pose as this relay: give its authority's certificate, and verify it.",
        "tls.unused": "Set the security to STARTTLS, so that the mail goes out encrypted.",
        "tls.required": "Choose STARTTLS or TLS in the settings.",
        "auth.in_the_clear": "Choose STARTTLS or TLS: who listens on the way can read the password.",
        "size.small": "Larger messages will be refused; ask the relay's administrator to raise the limit.",
        "sender.refused": "Use a sender address that this login may send from.",
        "sender.deferred": "It is tried again by itself.",
        "recipient.refused": "Check the address. If the relay speaks of relaying, switch login on.",
        "recipient.deferred": "It is tried again by itself; many relays let strangers wait for some minutes.",
        "recipient.too_many": "The rest is sent in another transaction.",
        "data.refused": "The relay's words say why; its administrator can say more.",
        "data.deferred": "It is tried again by itself.",
        "dot.refused": "The relay's words say why; a filter for content or size is the usual reason.",
        "dot.deferred": "It is tried again by itself.",
        "message.too_large": "Send a smaller message, or ask the relay's administrator to raise the limit.",
        "message.utf8_unsupported": "Use an address in plain ASCII, or a relay that offers SMTPUTF8.",
        "message.eight_bit_unsupported": "Encode the message in 7 bits, or use a relay that offers 8BITMIME.",
        "message.no_recipients": "Give at least one recipient.",
        "message.unsendable": "Remove spaces, brackets and control characters from the address.",
        "relay.closing": "It is tried again by itself. If it lasts, the relay is overloaded or limits this sender.",
        "reply.malformed": "Ask the relay's administrator; something that is not a mail server may sit in between.",
        "reply.timeout": "It is tried again by itself. If it lasts, the relay is overloaded or a firewall interferes.",
        "connection.lost": "It is tried again by itself. If it lasts, look at the relay's log for this moment.",
        "attempt.timeout": "It is tried again by itself. If it lasts, the relay is too slow to be used.",
        "in_doubt.lost": "Look in the relay's log whether it took the message before you send it again.",
        "in_doubt.timeout": "Look in the relay's log whether it took the message before you send it again.",
        "in_doubt.malformed": "Look in the relay's log whether it took the message before you send it again.",
        "mail.not_accepted": "Mend what it says, then check again.",
        "mail.waiting": "Look at the message's attempts; if there are none, see whether a worker runs.",
        "lease.lost": "Nothing needs to be done: another worker has the message, or it was cancelled.",
        "pool.closed": "Nothing needs to be done: the message goes out over a new connection.",
    }
)


def advice_on(code: str) -> str:
    return ADVICE.get(code, "")
