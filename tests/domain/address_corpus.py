"""Addresses to be let through, and tricks to get a mail past the filter `*@good.example`, by class.

Sources: `research/security-reliability.md` C2 to C9 and section 6. A trick must be refused by `Address.parse`, or be
an address that the filter does not allow.
"""

GOOD = "good.example"
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2003\u2009\u2028\u2029\u202f\u205f\u3000"
_INVISIBLE = "\xad\u200b\u200c\u200d\u200e\u202e\u2060\ufeff\u180e\u061c"

ATTACKS: dict[str, list[str]] = {
    "case of another domain": [
        "bob@EVIL.example", "BOB@Evil.Example", "bob@GOOD.EXAMPLE.evil", "bob@Good.Example.EVIL",
    ],
    "trailing and doubled dots": [
        "bob@good.example.", "bob@good.example..", "bob@.good.example", "bob@good..example", "bob.@good.example",
        ".bob@good.example", "bo..b@good.example", "bob@good.example.evil.", "bob@.", "...@good.example",
    ],
    "white space": [
        *(f"{space}bob@good.example" for space in _SPACES), *(f"bob@good.example{space}" for space in _SPACES),
        *(f"bob{space}@good.example" for space in " \t\xa0\u3000"),
        *(f"bob@{space}good.example" for space in " \t\xa0\u3000"), "bob evil@good.example", "bob@good.example evil",
        "bob@good. example",
    ],
    "zero width and soft hyphen": [
        *(f"bob@go{hidden}od.example" for hidden in _INVISIBLE),
        *(f"bo{hidden}b@good.example" for hidden in _INVISIBLE),
        *(f"bob@good.example{hidden}" for hidden in _INVISIBLE),
    ],
    "full-width forms": [
        "bob＠good.example", "bob@ｇood.example", "bob@ｇｏｏｄ.example", "ｂob@good.example", "bob@good．example",
        "bob@evil.example＠good.example", "bob@good.example＠evil.example", "bob@good.ｅxample",
    ],
    "dots of other scripts": ["bob@good。example", "bob@good｡example", "bob@evil。good.example", "b。ob@good.example"],
    "ligatures and compatibility letters": [
        "ﬁ@good.example", "ſ@good.example", "bob@ﬁ.good.example", "bob@good.examplﬁ", "Ⅳ@good.example",
        "①@good.example", "bob@ɡood.example", "bob@good.exampⅼe", "\u212a@good.example", "bob@\u212a.good.example",
        "bob@ⓖood.example",
        "𝐛ob@good.example", "bob@𝗀ood.example", "ª@good.example", "bob℀@good.example",
    ],
    "dotless and long s": ["bob@good.exampıe", "bob@gooſ.example", "bob@good.examplE\u0307", "bob@ıgood.example"],
    "Cyrillic and Greek look-alikes": [
        "bob@gооd.example", "bob@gοοd.example", "bob@good.ехample", "bob@good.exаmple", "bob@ցood.example",
        "bob@gооd.ехаmрlе",
    ],
    "A-labels": [
        "bob@xn--gd-8cda.example", "bob@xn--good-.example", "bob@xn--.example", "bob@xn--good.example",
        "bob@good.xn--exmple-cua", "bob@xn--a.good.example", "bob@XN--GD-8CDA.example",
        "bob@xn--zzzzzzzzzzzzz.good.example", "bob@xn--good-example-.example",
    ],
    "IDNA 2003 against 2008": [
        "bob@ßgood.example", "bob@good.exampleß", "bob@goo\u200cd.example", "bob@gooD\u200d.example",
        "bob@ΣGOOD.example", "bob@good☃.example", "bob@♥good.example", "bob@GOÖD.example",
    ],
    "quoted local parts": [
        '"bob"@good.example', '"bob@evil.example"@good.example', '"bob evil"@good.example',
        '"x@evil.example x"@good.example', '"a> ORCPT=b"@good.example', '"a\\"@evil.example"@good.example',
        '"a\\@evil.example"@good.example', '""@good.example', '"bob\r\nRCPT TO:<x@evil.example>"@good.example',
        'bob."x"@good.example', '"bob@good.example', 'bob"@good.example', '"<x@evil.example>"@good.example',
        '"a,x@evil.example"@good.example',
    ],
    "comments": [
        "bob(evil)@good.example", "(evil)bob@good.example", "bob@good.example(evil)", "bob@(evil)good.example",
        "a@good(x)evil.example", "bob@good.example(@evil.example)", "bob@evil.example(good.example)",
        "bob((x))@good.example", "alice@good.example)<bob@evil.example>", "bob@good(.example", "bob()@good.example",
    ],
    "encoded words": [
        "=?utf-8?q?bob=40evil.example?=@good.example", "=?utf-8?q?bob?=@good.example", "=?x?q?a?=bob@good.example",
        "=?utf-8?q?bob=40evil.example=3e=00?=foo@good.example", "bob@=?utf-8?q?good?=.example", "=?@good.example",
        "=?utf-8?b?Ym9iQGV2aWwuZXhhbXBsZQ==?=@good.example", "=?utf-8?q?bob=40evil.com=2c?= <a@good.example>",
        "a=?b@good.example", "=?utf-7?q?bob+AEA-evil?=@good.example",
    ],
    "lists": [
        "bob@good.example,x@evil.example", "x@evil.example,bob@good.example", "bob@good.example;x@evil.example",
        "a@evil.example;b@good.example", "bob@good.example\nx@evil.example", "bob@good.example x@evil.example",
        "x@evil.example, bob@good.example", "bob,@good.example", "x;bob@good.example", "bob@good.example,",
        "x,bob@good.example", "bob@good.example|x@evil.example", '["bob@good.example","x@evil.example"]',
    ],
    "groups": [
        "a:x@evil.example;", "a:bob@good.example;", "undisclosed:;", "a:x@evil.example;@good.example",
        "a:b@good.example",
    ],
    "angle brackets": [
        "<bob@good.example>", "<x@evil.example>bob@good.example", "<a@evil.example>b@good.example",
        "bob@good.example<x@evil.example>", "bob@good.example> <x@evil.example", "bob>@good.example",
        "bob@good.example>", "<bob@good.example", "bob<@good.example", "<<bob@good.example>>", "<>",
        "<@good.example>",
    ],
    "display names": [
        "Bob <bob@good.example>", "bob@good.example <x@evil.example>", '"bob@good.example" <x@evil.example>',
        "x@evil.example <bob@good.example>", "Bob bob@good.example", "bob@good.example (Bob)",
    ],
    "source routes": [
        "@good.example:x@evil.example", "@evil.example:bob@good.example",
        "@evil.example,@b.example:bob@good.example", "<@evil.example:bob@good.example>", "@good.example",
    ],
    "percent and bang paths": [
        "x%evil.example@good.example", "bob%evil@good.example", "evil!bob@good.example",
        "evil.example!bob@good.example", "%@good.example", "!@good.example", "bob%@good.example",
        "a!b!c@good.example", "x%evil.example%good.example@good.example", "bob@evil.example%good.example",
        "bob@evil.example!good.example",
    ],
    "more than one @": [
        "bob@evil.example@good.example", "bob@good.example@evil.example", "bob@@good.example", "@bob@good.example",
        "bob@good.example@", "@@", "@", "bob@",
    ],
    "literals and numbers": [
        "bob@[127.0.0.1]", "bob@[IPv6:::1]", "bob@127.0.0.1", "bob@2130706433", "bob@0x7f000001",
        "bob@[good.example]", "bob@::1", "bob@good.example:25", "bob@[x:good.example]", "bob@0177.0.0.1",
        "bob@1.2.3", "bob@good.123",
    ],
    "control characters": [
        *(f"bob{chr(code)}@good.example" for code in (*range(0x20), 0x7F, 0x80, 0x9B, 0x9F)),
        *(f"bob@good.example{chr(code)}" for code in (0, 1, 8, 0x1B, 0x7F, 0x80, 0x9F)),
        "bob@evil.example\x00@good.example", "bob@evil.example\x00.good.example",
        "bob@good.example\x00.evil.example", "bob\ud800@good.example", "bob@good\udc00.example",
        "\udcff@good.example",
    ],
    "SMTP arguments and commands": [
        "bob@good.example> ORCPT=rfc822;x@evil.example", "bob@good.example SIZE=1",
        "bob@good.example>\r\nRCPT TO:<x@evil.example", "bob@good.example\r\nDATA", "bob@good.example> NOTIFY=NEVER",
        "bob\r\nRSET\r\n@good.example", "bob@good.example\n.\n", "bob@good.example> BODY=8BITMIME",
        "RCPT TO:<bob@good.example>",
    ],
    "suffix, prefix and sub-domain": [
        "bob@notgood.example", "bob@good.example.evil", "bob@sub.good.example", "bob@good.examples",
        "bob@good-example", "bob@goodxexample", "bob@example", "bob@good", "bob@evil.example/good.example",
        "bob@evil.example?good.example", "bob@evil.example#@good.example", "bob@good.example/", "bob@good_example",
        "bob@-good.example", "bob@good-.example", "bob@ood.example", "bob@evil-good.example",
        "bob@good.example.example",
    ],
    "over-long": [
        "x" * 65 + "@good.example", "bob@" + "x" * 64 + ".good.example", "bob@" + "x." * 130 + "good.example",
        "é" * 33 + "@good.example", "x" * 300 + "@good.example", "x" * 100_000 + "@good.example",
        "bob@" + "good.example" * 100_000, "@" * 100_000, "bob@" + "ü" * 10_000, "(" * 50_000 + "bob@good.example",
        "x" * 64 + "@" + ".".join(["y" * 60] * 4),
    ],
    "nothing much": [
        "", " ", "bob", "good.example", "@good.example", "bob@", "bob@ ", " @good.example", "\r\n", "None", "{}",
        "*@good.example.",
    ],
    "patterns as addresses": [
        "bob@*", "bob@*.example", "bob@good.*", "bob@?ood.example", "bob@[g]ood.example", "bob@good.exampl*",
    ],
    "backslashes and bytes": [
        "bob\\@evil.example@good.example", "bob\\@good.example", "bob@good.example\\",
        "bob@evil.example\\@good.example", "bob@good.example\\r\\n", "bob@good\\.example", "bob@good%2eexample",
        "bob@good.example%00", "bob@good.example&#64;evil",
    ],
    "addresses of pages": [
        "mailto:bob@good.example", "smtp://bob@good.example", "bob@good.example?cc=x@evil.example",
        "//x@good.example:25",
    ],
}  # fmt: skip

_WORDS = (
    "bob", "BOB", "b", "bob.builder", "bob+tag", "bob-builder", "bob_builder", "b.o.b", "o'brien",
    "customer/department", "1234567890", "x" * 64, "user#1", "a&b", "a*b", "a=b", "a`b", "a{b}", "a|b", "a~b", "a^b",
    "$money", "-bob", "bob-", "jörg", "用户", "дмитрий", "δοκιμή", "उपयोगकर्ता", "résumé", "münchen.büro", "ñandú+tag",
    "straße", "ø", "한국",
)  # fmt: skip
_DOMAINS = (
    "good.example", "GOOD.Example", "localhost", "a.b.c.d.example", "1.example", "xn--bcher-kva.example",
    "bücher.example", "a-b.example", "x" * 63 + ".example", "straße.example", "例え.example", "münchen.example",
)  # fmt: skip

LEGAL: list[str] = [
    *(f"{word}@good.example" for word in _WORDS),
    *(f"bob@{domain}" for domain in _DOMAINS),
    *(f"{word}@{domain}" for word in _WORDS[:5] for domain in _DOMAINS[1:]),
    *(f"user{number}@mail{number}.good.example" for number in range(40)),
]

ATTACKS |= {
    "every separator before and after": [
        *(f"x@evil.example{sign}bob@good.example" for sign in ",;:|/\\ \t<>()[]\"'!%&#=?"),
        *(f"bob{sign}x@evil.example@good.example" for sign in ",;:|/\\ \t<>()[]\"'!%&#=?"),
        *(f"bob@evil.example{sign}good.example" for sign in ",;:|/\\ \t<>()[]\"'!%&#=?+_*"),
    ],
    "header fields in an address": [
        "bob@good.example\r\nBcc: x@evil.example", "bob@good.example\nCc:x@evil.example",
        "bob@good.example\r\n\r\nhello", "Bcc: x@evil.example", "To:bob@good.example",
        "bob@good.example%0d%0aBcc:x@evil.example", "bob@good.example\\r\\nBcc: x@evil.example",
        "bob@good.example\r\n\tx@evil.example", "Resent-To: x@evil.example\r\nbob@good.example",
    ],
    "JSON in an address": [
        '{"address":"x@evil.example"}', '["x@evil.example"]', "null", "true", "0", '"bob@good.example"',
        '{"address":"bob@good.example","address":"x@evil.example"}', "\\u0062ob@good.example", "x@evil.example\\u0000",
    ],
}  # fmt: skip

LEGAL += [
    *(f"{word}@{domain}" for word in _WORDS[5:12] for domain in _DOMAINS),
    *(f"{word}+{number}@good.example" for word in ("sales", "it", "Ops") for number in range(5)),
]
