"""Broken relays and settings. What providers say is what they have published."""

from postroom.domain.delivery import Stage
from postroom.domain.profile import Auth, Security, TlsVersion, TokenGrant
from smtp.moods import Mood, hangs_up

from .moods import (
    good,
    logs_in_only_securely,
    refuses_login,
    says,
    unless_heard,
    unless_logged_in,
    unless_secure,
)
from .row import OTHER, RECIPIENT, SENDER, SHOWN, USER, At, Row

CONNECT, GREETING, TLS, AUTH = Stage.CONNECT, Stage.GREETING, Stage.TLS, Stage.AUTH
S, R, RESOLVE = Stage.SENDER, Stage.RECIPIENT, Stage.RESOLVE
GOOD, IMPLICIT, PLAIN = At(good()), At(good(), "implicit"), At(good(), "none")
BANNER = At(Mood({"greeting": b"HTTP/1.1 400 Bad Request\r\n"}), "none")
NO_TLS, TLS_AT_ONCE = {"security": Security.NONE}, {"security": Security.TLS}
WRONG = "not the password"
LOG_IN = {"auth": Auth.PASSWORD, "username": SENDER}
MICROSOFTS = {
    "auth": Auth.OAUTH2, "token_grant": TokenGrant.REFRESH_TOKEN,
    "token_url": "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
    "token_scope": "https://outlook.office.com/SMTP.Send offline_access",
}  # fmt: skip
SIGN_IN = ("client_id", "refresh_token")
M365, GMAIL, GRELAY = "smtp.office365.com", "smtp.gmail.com", "smtp-relay.gmail.com"
SES, SENDGRID, MAILGUN = "email-smtp.eu-west-1.amazonaws.com", "smtp.sendgrid.net", "smtp.mailgun.org"

PORTS = [
    Row("a closed port, STARTTLS at another", (CONNECT, "connect.refused", "port.wrong"), {"port": OTHER}, None, GOOD,
        needs=("password",)),
    Row("a closed port, TLS at another", (CONNECT, "connect.refused", "port.wrong"),
        {"port": OTHER, "security": Security.TLS}, None, IMPLICIT, needs=("password",)),
    Row("a closed port, no TLS at the other, a password to lose", (CONNECT, "connect.refused", ""), None, None, PLAIN),
    Row("a closed port, no TLS at the other, and nothing to lose", (CONNECT, "connect.refused", "port.wrong"),
        {"port": OTHER, "security": Security.NONE}, None, PLAIN, login=False, confirm=True),
    Row("a closed port, and no other", (CONNECT, "connect.refused", ""), None, None),
    Row("TLS at once where STARTTLS is spoken", (TLS, "tls.handshake", "port.wants_starttls"),
        {"security": Security.STARTTLS}, settings=TLS_AT_ONCE, here=GOOD, needs=("password",)),
    Row("STARTTLS where TLS is spoken at once", (GREETING, "reply.timeout", "port.wants_tls"),
        {"security": Security.TLS}, IMPLICIT, needs=("password",)),
    Row("no TLS where TLS is spoken at once", (GREETING, "reply.timeout", "port.wants_tls"),
        {"security": Security.TLS}, IMPLICIT, login=False, settings=NO_TLS),
    Row("STARTTLS not offered, TLS at another port", (TLS, "tls.not_offered", "port.has_no_tls"),
        {"port": OTHER, "security": Security.TLS}, PLAIN, IMPLICIT, needs=("password",)),
    Row("STARTTLS not offered, and nothing to lose", (TLS, "tls.not_offered", "tls.nowhere"),
        {"security": Security.STARTTLS_IF_OFFERED}, PLAIN, login=False, confirm=True),
    Row("STARTTLS not offered, and a password to lose", (TLS, "tls.not_offered", "tls.nowhere"), None, PLAIN),
    Row("TLS where nothing does it, and nothing to lose", (TLS, "tls.handshake", "tls.nowhere"),
        {"security": Security.NONE}, PLAIN, login=False, settings=TLS_AT_ONCE, confirm=True),
    Row("TLS where nothing does it, and a password to lose", (TLS, "tls.handshake", "tls.nowhere"), None, PLAIN,
        settings=TLS_AT_ONCE),
    Row("a web server, and the relay elsewhere", (GREETING, "greeting.not_smtp", "port.wrong"), {"port": OTHER}, BANNER,
        GOOD, needs=("password",)),
    Row("a web server, and no relay", (GREETING, "greeting.not_smtp", ""), None, BANNER),
    Row("hung up on, and the relay elsewhere", (GREETING, "connection.lost", "port.wrong"), {"port": OTHER},
        At(Mood({"greeting": hangs_up}), "none"), GOOD, needs=("password",)),
    Row("TLS is wanted first", (S, "tls.required", "tls.needed"), {"security": Security.STARTTLS},
        At(good(MAIL=unless_secure("530 5.7.0 Must issue a STARTTLS command first"))), login=False, settings=NO_TLS),
]  # fmt: skip

CERTIFICATES = [
    Row("a self-signed certificate", (TLS, "tls.self_signed", "certificate.self_signed"), {"ca_certificates": SHOWN},
        At(good(), certificate="self_signed"), needs=("password",), confirm=True),
    Row("a self-signed certificate for another name", (TLS, "tls.self_signed", "certificate.self_signed"),
        {"ca_certificates": SHOWN, "server_name": "mx.other.test"}, At(good(), certificate="self_signed_other"),
        needs=("password",), confirm=True),
    Row("an authority that nobody knows", (TLS, "tls.untrusted", "certificate.unknown_authority"),
        {"ca_certificates": SHOWN}, At(good(), certificate="foreign"), needs=("password",), confirm=True),
    Row("a certificate for another name", (TLS, "tls.name_mismatch", "certificate.other_name"),
        {"server_name": "mx.relay.test"}, At(good(), certificate="other_names"), needs=("password",), confirm=True),
    Row("a certificate for all of another domain", (TLS, "tls.name_mismatch", "certificate.other_name"),
        {"server_name": "relay.other.test"}, At(good(), certificate="wildcard"), needs=("password",), confirm=True),
    Row("an expired certificate", (TLS, "tls.expired", "certificate.expired"), None, At(good(), certificate="expired")),
    Row("only TLS 1.2 where 1.3 is asked for", (TLS, "tls.handshake", "tls.too_new"), {"tls_minimum": TlsVersion.V1_2},
        At(good(), certificate="tls_1_2"), settings={"tls_minimum": TlsVersion.V1_3}, needs=("password",),
        confirm=True),
]  # fmt: skip

LOGINS = [
    Row("no login before TLS", (AUTH, "auth.not_offered", "login.after_tls"), {"security": Security.STARTTLS},
        At(Mood(good().answers, ("PIPELINING",), ("AUTH PLAIN",))), settings=NO_TLS, plaintext=True,
        needs=("password",)),
    Row("a login in the clear", (AUTH, "auth.plaintext_forbidden", "login.after_tls"), {"security": Security.STARTTLS},
        GOOD, settings=NO_TLS, needs=("password",)),
    Row("a login where there is none", (AUTH, "auth.not_offered", "login.not_needed"), {"auth": Auth.NONE}, At(Mood()),
        confirm=True),
    Row("a login at another port", (AUTH, "auth.not_offered", "login.elsewhere"), {"port": OTHER}, At(Mood()), GOOD,
        needs=("password",)),
    Row("a mechanism that is not offered", (AUTH, "auth.no_common_mechanism", "login.other_mechanism"),
        {"mechanism": None}, GOOD, settings={"mechanism": "CRAM-MD5"}, needs=("password",)),
    Row("NTLM where there is none", (AUTH, "auth.no_common_mechanism", "login.other_mechanism"),
        {"auth": Auth.PASSWORD}, GOOD, settings={"auth": Auth.NTLM}, needs=("password",)),
    Row("only NTLM", (AUTH, "auth.no_common_mechanism", "login.other_mechanism"), {"auth": Auth.NTLM},
        At(good(login=("AUTH NTLM",))), needs=("password",), cured=False),
    Row("a wrong password", (AUTH, "auth.rejected", "login.wrong"), {}, GOOD, password=WRONG, needs=("password",)),
    Row("half a user name", (AUTH, "auth.rejected", "login.short_user_name"), {"username": USER}, GOOD,
        settings={"username": "mailer"}, needs=("password",)),
    Row("a login that needs TLS", (AUTH, "auth.rejected", "tls.needed"), {"security": Security.STARTTLS},
        At(good(AUTH=logs_in_only_securely("538 5.7.11 Encryption required for requested authentication mechanism"))),
        settings=NO_TLS, plaintext=True, needs=("password",)),
    Row("a login is needed", (S, "auth.required", "login.needed"), LOG_IN,
        At(good(MAIL=unless_logged_in("530 5.7.0 Authentication required"))), login=False, needs=("password",),
        confirm=True),
    Row("a login is needed, and nothing does TLS", (S, "auth.required", "login.needed"), None,
        At(good(MAIL=unless_logged_in("530 5.7.0 Authentication required")), "none"), login=False, settings=NO_TLS),
    Row("too many logins", (AUTH, "auth.temporary", "login.over_quota"), None,
        At(says(AUTH="454 4.7.0 Too many login attempts, please try again later"))),
    Row("no password", (AUTH, "settings.no_password", ""), {}, GOOD, password=None, needs=("password",)),
    Row("authorities that can't be read", (Stage.SETTINGS, "settings.ca_unreadable", ""), None, GOOD,
        settings={"ca_certificates": "-----BEGIN CERTIFICATE-----"}),
]  # fmt: skip

POSTFIX_AND_EXIM = [
    Row("relaying is for those who log in", (R, "recipient.refused", "relay.denied"), LOG_IN,
        At(good(RCPT=unless_logged_in(f"554 5.7.1 <{RECIPIENT}>: Relay access denied"))), login=False,
        needs=("password",), confirm=True),
    Row("Exim does not relay", (R, "recipient.refused", "relay.denied"), LOG_IN,
        At(good(RCPT=unless_logged_in("550 relay not permitted"))), login=False, needs=("password",), confirm=True),
    Row("relaying is put off", (R, "recipient.deferred", "relay.denied"), LOG_IN,
        At(good(RCPT=unless_logged_in(f"454 4.7.1 <{RECIPIENT}>: Relay access denied"))), login=False,
        needs=("password",), confirm=True),
    Row("relaying is not for this login", (R, "recipient.refused", "relay.denied_to_login"), None,
        At(says(RCPT="554 5.7.1 Relay access denied"))),
    Row("a sender of somebody else's", (S, "sender.refused", "sender.not_yours"), {"sender_address": USER},
        At(good(MAIL=unless_heard(f"FROM:<{USER}>", "553 5.7.1 <boss@company.example>: Sender address rejected: "
                                  f"not owned by user {USER}"))),
        settings={"sender_address": "boss@company.example"}),
    Row("a sender that the relay just doesn't like", (S, "sender.refused", "sender.not_yours"),
        {"sender_address": USER}, At(good(MAIL=unless_heard(f"FROM:<{USER}>", "550 not you"))),
        settings={"sender_address": "boss@company.example"}),
    Row("an envelope sender that the relay doesn't like", (S, "sender.refused", "sender.envelope"),
        {"envelope_sender": None}, At(good(MAIL=unless_heard(f"FROM:<{SENDER}>", "550 not you"))),
        settings={"envelope_sender": "bounces@elsewhere.example"}, needs=("password",)),
    Row("a sender's domain that is not there", (S, "sender.refused", "sender.unknown_domain"), None,
        At(says(MAIL="550 5.1.8 <x@nowhere.example>: Sender address rejected: Domain not found"))),
    Row("an EHLO name without a domain", (R, "recipient.refused", "relay.ehlo_name"), {"ehlo_name": "company.example"},
        At(good(RCPT=unless_heard("EHLO company.example", "504 5.5.2 <laptop>: Helo command rejected: "
                                  "need fully-qualified hostname"))), confirm=True),
    Row("on a block list", (R, "recipient.refused", "relay.blocks_us"), None,
        At(says(RCPT="554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"))),
    Row("too many connections", (S, "relay.closing", "relay.too_many_connections"), {"most_connections": 2},
        At(says(MAIL="421 4.7.0 Too many connections from your host")), cured=False),
    Row("greylisted", (R, "recipient.deferred", "recipient.greylisted"), None,
        At(says(RCPT="450 4.2.0 <one@customer.example>: Recipient address rejected: Greylisted"))),
    Row("put off without a word why", (R, "recipient.deferred", "recipient.greylisted"), None,
        At(says(RCPT="451 4.7.1 Please try again later"))),
    Row("nobody there", (R, "recipient.refused", "recipient.unknown"), None, At(says(RCPT="550 5.1.1 User unknown"))),
]  # fmt: skip

MICROSOFT = [
    Row("basic authentication is off", (AUTH, "auth.disabled", "microsoft.basic_auth_off"), MICROSOFTS,
        At(says(AUTH="535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [AM0P1]")),
        host=M365, needs=SIGN_IN, cured=False),
    Row("SMTP AUTH is off for the tenant", (AUTH, "auth.disabled", "microsoft.basic_auth_off"), MICROSOFTS,
        At(says(AUTH="535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.")),
        host=M365, needs=SIGN_IN, cured=False),
    Row("Microsoft's words at another host", (AUTH, "auth.disabled", "microsoft.basic_auth_off"), MICROSOFTS,
        At(says(AUTH="535 5.7.139 Authentication unsuccessful, basic authentication is disabled.")), needs=SIGN_IN,
        cured=False),
    Row("a policy forbids it", (AUTH, "auth.rejected", "microsoft.policy"), MICROSOFTS,
        At(says(AUTH="535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be "
                     "authenticated successfully. Contact your administrator.")),
        host=M365, needs=SIGN_IN, cured=False),
    Row("a wrong password at Microsoft", (AUTH, "auth.rejected", "microsoft.wrong_login"), {},
        At(refuses_login("535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.")),
        host=M365, password=WRONG, needs=("password",)),
    Row("an older word for a wrong password", (AUTH, "auth.rejected", "microsoft.wrong_login"), {},
        At(refuses_login("535 5.7.3 Authentication unsuccessful")), host=M365, password=WRONG, needs=("password",)),
    Row("no login at Microsoft", (S, "auth.required", "microsoft.login_needed"), MICROSOFTS,
        At(says(MAIL="530 5.7.57 Client not authenticated to send mail.")), host=M365, login=False, needs=SIGN_IN,
        cured=False),
    Row("not allowed to send as", (S, "sender.refused", "microsoft.send_as"), {"sender_address": USER},
        At(good(MAIL=unless_heard(f"FROM:<{USER}>", "550 5.7.60 SMTP; Client does not have permissions to send as "
                                  "this sender"))), host=M365, settings={"sender_address": "boss@company.example"}),
    Row("too many connections of a mailbox", (AUTH, "auth.temporary", "microsoft.too_many_connections"),
        {"most_connections": 3}, At(says(AUTH="432 4.3.2 Concurrent connections limit exceeded")), host=M365,
        cured=False),
    Row("an address that may not send", (R, "recipient.refused", "microsoft.address_blocked"), None,
        At(says(RCPT="550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.")), host=M365),
    Row("no connector", (R, "recipient.refused", "microsoft.no_connector"), None,
        At(says(RCPT="550 5.7.64 TenantAttribution; Relay Access Denied SMTP")), login=False,
        host="company-example.mail.protection.outlook.com"),
]  # fmt: skip

EXCHANGE = [
    Row("Exchange wants a login", (S, "auth.required", "exchange.login_needed"), LOG_IN,
        At(good(MAIL=unless_logged_in("530 5.7.1 Client was not authenticated"))), login=False, needs=("password",),
        confirm=True),
    Row("Exchange does not relay", (R, "recipient.refused", "relay.denied"), LOG_IN,
        At(good(RCPT=unless_logged_in("550 5.7.1 Unable to relay"))), login=False, needs=("password",), confirm=True),
    Row("Exchange does not relay, in newer words", (R, "recipient.refused", "exchange.login_needed"), LOG_IN,
        At(good(RCPT=unless_logged_in("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"))),
        login=False, needs=("password",), confirm=True),
    Row("Exchange, not allowed to send as", (S, "sender.refused", "exchange.send_as"), {"sender_address": USER},
        At(good(MAIL=unless_heard(f"FROM:<{USER}>", "550 5.7.60 SMTP; Client does not have permissions to send as "
                                  "this sender"))), settings={"sender_address": "boss@company.example"}),
    Row("a wrong password at Exchange", (AUTH, "auth.rejected", "exchange.wrong_login"), {},
        At(refuses_login("535 5.7.3 Authentication unsuccessful")), password=WRONG, needs=("password",)),
]  # fmt: skip

OTHER_PROVIDERS = [
    Row("Google wants an app password", (AUTH, "auth.rejected", "google.app_password"), {},
        At(refuses_login("534-5.7.9 Application-specific password required. For more information, go to\r\n"
                         "534 5.7.9 https://support.google.com/mail/?p=InvalidSecondFactor - gsmtp")),
        host=GMAIL, password=WRONG, needs=("password",)),
    Row("a wrong password at Google", (AUTH, "auth.rejected", "google.wrong_login"), {},
        At(refuses_login("535-5.7.8 Username and Password not accepted. For more information, go to\r\n"
                         "535 5.7.8 https://support.google.com/mail/?p=BadCredentials - gsmtp")),
        host=GMAIL, password=WRONG, needs=("password",)),
    Row("Google wants a browser", (AUTH, "auth.rejected", "google.web_login"), None,
        At(says(AUTH="534 5.7.14 Please log in via your web browser and then try again.")), host=GMAIL),
    Row("Google's relay does not know us", (R, "recipient.refused", "google.relay_denied"), None,
        At(says(RCPT="550 5.7.0 Mail relay denied [192.0.2.1]. Invalid credentials for relay.")), login=False,
        host=GRELAY),
    Row("Google's day is over", (S, "sender.refused", "google.daily_limit"), None,
        At(says(MAIL="550 5.4.5 Daily user sending limit exceeded.")), host=GMAIL),
    Row("an IAM key is no SMTP password", (AUTH, "auth.rejected", "ses.wrong_login"), {},
        At(refuses_login("535 Authentication Credentials Invalid", user="AKIAEXAMPLE")), host=SES, password=WRONG,
        settings={"username": "AKIAEXAMPLE"}, needs=("password",)),
    Row("SES has enough", (R, "recipient.deferred", "ses.throttled"), None,
        At(says(RCPT="454 Throttling failure: Maximum sending rate exceeded.")), host=SES),
    Row("SendGrid knows everybody as apikey", (AUTH, "auth.rejected", "sendgrid.user_name"), {"username": "apikey"},
        At(refuses_login("535 Authentication failed: Bad username / password", user="apikey")), host=SENDGRID,
        needs=("password",)),
    Row("a key that SendGrid has revoked", (AUTH, "auth.rejected", "sendgrid.key"), {},
        At(refuses_login("535 Authentication failed: The provided authorization grant is invalid, expired, or revoked",
                         user="apikey")),
        host=SENDGRID, settings={"username": "apikey"}, password=WRONG, needs=("password",)),
    Row("SendGrid's credits are used up", (AUTH, "auth.temporary", "sendgrid.credits"), None,
        At(says(AUTH="451 Authentication failed: Maximum credits exceeded")), host=SENDGRID),
    Row("SendGrid knows no such sender", (S, "sender.refused", "sendgrid.sender"), None,
        At(says(MAIL="550 The from address does not match a verified Sender Identity.")), host=SENDGRID),
    Row("a wrong password at Mailgun", (AUTH, "auth.rejected", "mailgun.wrong_login"), {},
        At(refuses_login("535 5.7.0 Mailgun is not loving your login or password")), host=MAILGUN, password=WRONG,
        needs=("password",)),
    *(Row(f"a wrong password at {host}", (AUTH, "auth.rejected", cause), {},
          At(refuses_login("535 5.7.8 Authentication failed")), host=host, password=WRONG, needs=("password",))
      for host, cause in [
          ("in-v3.mailjet.com", "mailjet.wrong_login"), ("smtp.postmarkapp.com", "postmark.wrong_login"),
          ("smtp-relay.brevo.com", "brevo.wrong_login"), ("smtp.mail.yahoo.com", "mailbox.app_password")]),
]  # fmt: skip

NAMES_AND_RULES = [
    Row("a slip of the pen in a provider's name", (RESOLVE, "resolve.unknown", "host.misspelt"),
        {"host": "smtp.gmail.com"}, GOOD, host="smtp.gmial.com", knows=("smtp.gmail.com",), needs=("password",),
        confirm=True),
    Row("a name that nobody knows", (RESOLVE, "resolve.unknown", ""), None, GOOD, host="mail.nowhere.example",
        knows=("relay.test",)),
    Row("an address that the operator forbids", (Stage.POLICY, "policy.address_refused", ""), None, GOOD,
        forbidden=True),
    Row("a recipient that the filter forbids", (Stage.POLICY, "policy.filtered", "recipient.filtered"), None, GOOD,
        settings={"recipient_filter": "*@company.example"}, delivers_alike=False),
]  # fmt: skip

TABLE = [
    *PORTS, *CERTIFICATES, *LOGINS, *POSTFIX_AND_EXIM, *MICROSOFT, *EXCHANGE, *OTHER_PROVIDERS, *NAMES_AND_RULES,
]  # fmt: skip
