"""The address of a token endpoint: what is dialled is what was checked."""

import pytest

from postroom.domain.problems import Invalid
from postroom.domain.profile import Profile
from postroom.domain.token_endpoint import TokenEndpoint


@pytest.mark.parametrize(
    ("url", "host", "port", "encrypted"),
    [
        ("https://login.example/token", "login.example", 443, True),
        ("https://LOGIN.example:8443/common/oauth2/v2.0/token?api=1&x=%2F", "login.example", 8443, True),
        ("HTTPS://login.example", "login.example", 443, True),
        ("https://login.example?v=2", "login.example", 443, True),
        ("https://xn--bcher-kva.example/t", "xn--bcher-kva.example", 443, True),
        ("https://192.0.2.7/t", "192.0.2.7", 443, True),
        ("https://[2001:DB8::1]:444/t", "2001:db8::1", 444, True),
        ("https://login.example/a/@b:c", "login.example", 443, True),
        ("http://127.0.0.1:8080/t", "127.0.0.1", 8080, False),
        ("http://127.9.9.9", "127.9.9.9", 80, False),
        ("http://[::1]/t", "::1", 80, False),
        ("http://localhost:99/t", "localhost", 99, False),
    ],
)
def test_where_it_is_dialled(url: str, host: str, port: int, encrypted: bool):
    assert TokenEndpoint.parse(url) == TokenEndpoint(host, port, encrypted)
    assert Profile(host="relay.example", token_url=url).token_url == url


@pytest.mark.parametrize(
    "url",
    [
        "", "login.example", "ftp://login.example/", "//login.example/", "https://", "https:///token", "https://?x",
        "https://login.example:0/", "https://login.example:65536/", "https://login.example:99999/",
        "https://login.example:/", "https://login.example:x/", "https://login.example:123456/",
        "https://user@login.example/", "https://user:word@login.example/", "https://login.example#part",
        "https://login.example/token#", "https://login.example/a b", "https://login.example/a\\b",
        "https://login.example\\@evil.example/", "https://login.example/%zz", "https://login.example/ü",
        "https://bücher.example/", "https://%61/", "https://[::1", "https://::1/", "https://[::1%25eth0]/",
        "https://[127.0.0.1]:1x/", "https://1.2.3/", "https://2130706433/", "https://-a/", "https://a..b/",
        "http://login.example/", "http://127.0.0.1.evil.example/", "http://192.0.2.1/", "http://localhost.example/",
        " https://login.example/",
    ],
)  # fmt: skip
def test_what_is_no_usable_address_is_refused(url: str):
    with pytest.raises(Invalid) as refused:
        Profile(host="relay.example", token_url=url)
    assert refused.value.field == "token_url"
