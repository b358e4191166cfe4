"""The content of a message as it goes over the wire after DATA (RFC 5321 section 4.5.2).

Every CR and LF becomes CRLF before the dots are stuffed, so that no relay, however it reads line ends, finds an end of
message that we did not write (SMTP smuggling, CVE-2023-51764 and its family).
"""

import re

END = b".\r\n"

_LINE_END = re.compile(rb"\r\n|\r|\n")


def on_the_wire(content: bytes) -> bytes:
    """The content with whole line ends and stuffed dots, up to but not including the final dot."""
    breaks = content.count(b"\r\n")
    if breaks != content.count(b"\n") or breaks != content.count(b"\r"):
        content = _LINE_END.sub(b"\r\n", content)
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
