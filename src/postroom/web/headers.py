"""The headers that every answer carries, whoever gives it."""

# Everything is served from here, nothing may be framed, and no script runs that is not a file of ours. What our own
# pages frame is a mail of somebody's, by the policy below.
POLICY = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    b"connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
)
# A mail's own HTML: nothing is fetched, nothing runs, no form is sent, and it is of no origin, also opened by itself.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)
# What is only ever saved to a file.
FILE_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
# Swagger UI starts itself from a line in its page and draws with inline styles.
DOCS_POLICY = (b"content-security-policy", b"default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'")
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: a form of ours would then come with `Origin: null` (Fetch, "serialize a request origin"), and no
    # page could tell it from another site's.
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
# RFC 6797: for a year no browser will speak plain http to us. Only where users know us by https.
HSTS = (b"strict-transport-security", b"max-age=31536000")


def missing(path: str, given: list[tuple[bytes, bytes]], *, https: bool) -> list[tuple[bytes, bytes]]:
    """What an answer at this path still needs."""
    set_already = {name for name, _value in given}
    policy = DOCS_POLICY if path.startswith("/docs/") else POLICY
    wanted = (policy, *ALWAYS, HSTS) if https else (policy, *ALWAYS)
    return [header for header in wanted if header[0] not in set_already]
