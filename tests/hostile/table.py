"""The table of hostile relays, H1–H40 (`research/security-reliability.md` section 5), a row for each variant.

H16, H19, H25, H31–H33, H37, H38 and H40 are about more than one connection or one answer: the files beside this one.
"""

from dataclasses import replace

from hostile.moods import (
    DIRTY,
    EHLO,
    GOOD,
    at,
    cuts_in_body,
    dirty,
    drips,
    floods,
    good,
    hello_of_tls_1_0,
    in_pieces,
    lock_step,
    openssl_with_tls_1_0,
    says_and_does_not_go_on,
    wants_lock_step,
    wants_pipelining,
)
from hostile.row import (
    ENCRYPTED,
    EVERYWHERE,
    PLAIN,
    QUICK,
    SENT,
    STARTTLS,
    TLS,
    End,
    Row,
    config,
    in_doubt,
    message_permanent,
    message_temp,
    protocol_error,
    recipient_permanent,
    recipient_temp,
    relay_temp,
)  # fmt: skip
from postroom.domain.delivery import Stage
from postroom.domain.profile import Security
from smtp import moods
from smtp.moods import Mood

BIG = b"Subject: big\r\n\r\n" + (b"y" * 98 + b"\r\n") * 160_000
LOGIN_IN_CLEAR = {PLAIN: True, STARTTLS: True, TLS: True}
GREETING, E, T, A, S, R, D = (
    Stage.GREETING, Stage.EHLO, Stage.TLS, Stage.AUTH, Stage.SENDER, Stage.RECIPIENT, Stage.DATA,
)  # fmt: skip
SILENCE = [
    ("greeting", GREETING), ("EHLO", E), ("STARTTLS", T), ("AUTH", A), ("MAIL", S), ("RCPT", R), ("DATA", D),
    ("dot", Stage.DOT),
]  # fmt: skip


def where(moment: str) -> tuple[Security, ...]:
    return {"STARTTLS": (STARTTLS,), "AUTH": ENCRYPTED}.get(moment, EVERYWHERE)


def said_twice(answer: object) -> Mood:
    return good(MAIL=answer, RCPT=b"550 5.1.1 nobody\r\n", DATA=b"554 5.5.1 no valid recipients\r\n")


def malformed(stage: Stage) -> End:
    return in_doubt("malformed") if stage is Stage.DOT else protocol_error(stage)


# H9: without a login there is nothing that may be lost but the mail; with one, the password.
BAD_CERTIFICATES = [
    (9, "self-signed", "self_signed", "tls.self_signed"),
    (9, "of an authority that nobody knows", "foreign", "tls.untrusted"),
    (10, "for another name", "wrong_name", "tls.name_mismatch"),
    (11, "expired", "expired", "tls.expired"),
]
HOSTILE_REPLIES = [b"999 what\r\n", b"25\r\n", b"2500 ok\r\n", b"\r\n", b"250\tok\r\n"]

TABLE: list[Row] = [
    # H1: accepts, silent.
    Row(1, "accepts, and is silent", at("connect", moods.is_silent), relay_temp("reply.timeout", GREETING),
        over=(PLAIN, STARTTLS), timeouts=QUICK),
    Row(1, "accepts, and is silent", at("connect", moods.is_silent), relay_temp("tls.handshake", T),
        over=(TLS,), timeouts=QUICK),
    Row(1, "silent under TLS", at("greeting", moods.is_silent), relay_temp("reply.timeout", GREETING),
        over=(TLS,), timeouts=QUICK),
    # H2: another protocol's banner.
    *(Row(2, f"{name} banner", at("greeting", banner), config("greeting.not_smtp", GREETING))
      for name, banner in [("HTTP", b"HTTP/1.1 400 secret-banner\r\nServer: secret-banner\r\n\r\n"),
                           ("SSH", b"SSH-2.0-secret-banner\r\n"),
                           ("Redis", b"-ERR secret-banner\r\n"),
                           ("POP3", b"+OK secret-banner\r\n"),
                           ("a 250", b"250 secret-banner\r\n")]),
    # H3, H4, H5: too much.
    Row(3, "endless 220-", at("greeting", floods(b"220-welcome, and there is more\r\n" * 500)),
        protocol_error(GREETING)),
    Row(3, "endless 250- to MAIL", at("MAIL", floods(b"250-and there is more\r\n" * 500)), protocol_error(S)),
    Row(3, "endless 250- after dot", at("dot", floods(b"250-and there is more\r\n" * 500)), in_doubt("malformed")),
    Row(4, "100 MB without a newline", at("greeting", floods(b"2" * 65536)), protocol_error(GREETING)),
    Row(4, "100 MB without a newline in EHLO", at("EHLO", floods(b"250-" + b"X" * 65536)), protocol_error(E)),
    Row(5, "endless EHLO continuation", at("EHLO", floods(b"250-X-ANOTHER\r\n" * 500)), protocol_error(E)),
    # H6: one byte at a time.
    *(Row(6, f"one byte at a time: {moment}", at(moment, drips(GOOD[moment])),
          in_doubt("timeout") if stage is Stage.DOT else relay_temp("reply.timeout", stage),
          over=where(moment), timeouts=QUICK)
      for moment, stage in SILENCE),
    # H7: STARTTLS stripped.
    Row(7, "STARTTLS not offered", at("EHLO", EHLO), config("tls.not_offered", T), over=(STARTTLS,)),
    Row(7, "STARTTLS refused for now", at("STARTTLS", moods.says_then_hangs_up(b"454 4.7.0 later\r\n")),
        relay_temp("tls.refused", T), over=(STARTTLS,)),
    Row(7, "STARTTLS refused", at("STARTTLS", moods.says_then_hangs_up(b"502 no\r\n")), config("tls.refused", T),
        over=(STARTTLS,)),
    # H8: something slipped in before TLS.
    *(Row(8, f"{name} behind the 220", at("STARTTLS", says_and_does_not_go_on(b"220 go\r\n" + injected)),
          config("tls.injection", T), over=(STARTTLS,))
      for name, injected in [("a reply", b"250 welcome\r\n"), ("a fragment", b"25"), ("a line end", b"\n")]),
    # H9–H12: TLS.
    *(Row(h, f"certificate {name}", good(), config(code, T), over=ENCRYPTED, certificate=certificate)
      for h, name, certificate, code in BAD_CERTIFICATES),
    Row(12, "TLS 1.0 only", at("STARTTLS", openssl_with_tls_1_0(b"220 go\r\n")), config("tls.version", T),
        over=(STARTTLS,)),
    Row(12, "TLS 1.0 only", at("connect", openssl_with_tls_1_0(b"")), config("tls.version", T), over=(TLS,)),
    Row(12, "TLS 1.0 only, byte by byte", at("STARTTLS", hello_of_tls_1_0(b"220 go\r\n")), config("tls.version", T),
        over=(STARTTLS,)),
    Row(12, "TLS 1.0 only, byte by byte", at("connect", hello_of_tls_1_0(b"")), config("tls.version", T), over=(TLS,)),
    Row(12, "handshake cut", at("STARTTLS", moods.says_then_hangs_up(b"220 go\r\n")), relay_temp("tls.handshake", T),
        over=(STARTTLS,)),
    Row(12, "handshake cut", at("connect", moods.hangs_up), relay_temp("tls.handshake", T), over=(TLS,)),
    Row(12, "handshake stalls", at("STARTTLS", says_and_does_not_go_on(b"220 go\r\n")), relay_temp("tls.handshake", T),
        over=(STARTTLS,), timeouts=QUICK),
    Row(12, "handshake stalls", at("connect", moods.is_silent), relay_temp("tls.handshake", T), over=(TLS,),
        timeouts=QUICK),
    Row(12, "handshake stalls until the attempt is over", at("connect", moods.is_silent),
        relay_temp("attempt.timeout", Stage.CONNECT), over=(TLS,), timeouts=replace(QUICK, reply=9)),
    Row(12, "plain SMTP where TLS is due", at("connect", says_and_does_not_go_on(b"220 hello\r\n")),
        config("tls.handshake", T), over=(TLS,)),
    # H13: one reply too many, then a 550.
    Row(13, "two replies to MAIL, then 550 to RCPT", said_twice(b"250 ok\r\n250 ok\r\n"), protocol_error(D),
        check=protocol_error(R)),
    Row(13, "two replies to MAIL in two packets, then 550", said_twice(in_pieces(b"250 ok\r\n", b"250 ok\r\n")),
        protocol_error(D), check=protocol_error(R)),
    Row(13, "two replies to MAIL, then 550, lock-step", lock_step(said_twice(b"250 ok\r\n250 ok\r\n")),
        protocol_error(R)),
    Row(13, "two replies to MAIL in two packets, then 550, lock-step",
        lock_step(said_twice(in_pieces(b"250 ok\r\n", b"250 ok\r\n"))), protocol_error(D), check=protocol_error(R)),
    Row(13, "a yes and a no to MAIL, then a yes to RCPT", good(MAIL=b"250 ok\r\n550 5.1.1 nobody\r\n"),
        protocol_error(D), check=protocol_error(R)),
    # H14: one reply, two codes.
    *(Row(14, f"550- and 250 in one reply to {moment}", at(moment, b"550-x\r\n250 y\r\n"),
          config("greeting.not_smtp", GREETING) if stage is GREETING else malformed(stage), over=where(moment))
      for moment, stage in SILENCE),
    # H15: no clear answer after the dot.
    *(Row(15, f"{name} after dot", at("dot", said), in_doubt("malformed"))
      for name, said in [("garbage before 250", b"garbage\r\n250 ok\r\n"), ("221", b"221 bye\r\n"),
                         ("354", b"354 more\r\n"), ("220", b"220 hello\r\n"), ("235", b"235 welcome\r\n")]),
    # H17: 421.
    Row(17, "421 as greeting", at("greeting", b"421 4.3.2 busy\r\n"), relay_temp("greeting.refused", GREETING)),
    Row(17, "421 to EHLO", at("EHLO", b"421 4.3.2 busy\r\n"), relay_temp("ehlo.refused", E)),
    Row(17, "421 to AUTH", at("AUTH", b"421 4.7.0 bye\r\n"), relay_temp("auth.temporary", A), over=ENCRYPTED),
    *(Row(17, f"421 to {moment}", at(moment, b"421 4.3.2 bye\r\n"), relay_temp("relay.closing", stage))
      for moment, stage in SILENCE[4:]),
    Row(17, "421 to the third RCPT: only who is unfinished is tried again",
        at("RCPT", (b"250 ok\r\n", b"550 5.1.1 nobody\r\n", b"421 4.7.0 bye\r\n")),
        (relay_temp("relay.closing", R), recipient_permanent("recipient.refused"), relay_temp("relay.closing", R)),
        check=SENT, recipients=("a@x.test", "b@x.test", "c@x.test")),
    # H18: cut.
    *(Row(18, f"cut instead of an answer to {moment}", at(moment, moods.hangs_up),
          in_doubt("lost") if stage is Stage.DOT else relay_temp("connection.lost", stage), over=where(moment))
      for moment, stage in SILENCE),
    *(Row(18, f"cut in the middle of the answer to {moment}", at(moment, moods.breaks_off_in_the_reply),
          in_doubt("lost") if stage is Stage.DOT else relay_temp("connection.lost", stage), over=where(moment))
      for moment, stage in SILENCE[4:]),
    Row(18, "cut right behind the answer to EHLO", at("EHLO", moods.says_then_hangs_up(EHLO)),
        relay_temp("connection.lost", S), over=(PLAIN,)),
    Row(18, "reset after dot", at("dot", moods.resets), in_doubt("lost")),
    Row(18, "cut inside the body", at("body", cuts_in_body), message_temp("connection.lost", D), content=BIG),
    # H20: four recipients, four ends. (What the queue makes of them: test_worker.py.)
    *(Row(20, f"four recipients, four ends, {how}",
          mode(at("RCPT", (b"250 ok\r\n", b"550 5.1.1 nobody\r\n", b"451 4.7.1 grey\r\n", b"452 4.5.3 too many\r\n"))),
          (SENT, recipient_permanent("recipient.refused"), recipient_temp("recipient.deferred"),
           recipient_temp("recipient.too_many")),
          recipients=("a@x.test", "b@x.test", "c@x.test", "d@x.test"))
      for how, mode in [("pipelined", lambda mood: mood), ("lock-step", lock_step)]),
    # H21: what can't be meant.
    Row(21, "354 to MAIL", at("MAIL", b"354 go on\r\n"), protocol_error(S)),
    Row(21, "250 to DATA", at("DATA", b"250 ok\r\n"), protocol_error(D)),
    *(Row(21, f"{said!r} to {moment}", at(moment, said), malformed(stage))
      for said in HOSTILE_REPLIES for moment, stage in [("MAIL", S), ("dot", Stage.DOT)]),
    # H22: dirt, wherever the relay's words are kept.
    Row(22, "dirt in the greeting and EHLO",
        good(greeting=dirty(220), EHLO=EHLO.replace(b"250 AUTH", b"250-" + DIRTY + b"\r\n250 AUTH")), SENT,
        over=(PLAIN, TLS)),
    Row(22, "dirt in the answer to AUTH", at("AUTH", dirty(535)), config("auth.rejected", A), over=ENCRYPTED),
    Row(22, "dirt in the answer to MAIL", at("MAIL", dirty(451)), message_temp("sender.deferred", S)),
    Row(22, "dirt in the answer to RCPT", at("RCPT", dirty(550)), recipient_permanent("recipient.refused")),
    Row(22, "dirt in the answer to DATA", at("DATA", dirty(554)), message_permanent("data.refused", D)),
    Row(22, "dirt in the answer to the dot", at("dot", dirty(554)), message_permanent("dot.refused", Stage.DOT)),
    Row(22, "dirt in a yes", at("dot", dirty(250)), SENT),
    # H23: no login to be had.
    Row(23, "AUTH not offered", good(without=("AUTH",)), config("auth.not_offered", A), over=ENCRYPTED, auth_due=False),
    Row(23, "AUTH offered only before TLS", Mood(offers=("AUTH PLAIN",), offers_after_tls=("PIPELINING",)),
        config("auth.not_offered", A), over=(STARTTLS,), auth_due=False),
    Row(23, "a login over an open connection", good(), config("auth.plaintext_forbidden", A), over=(PLAIN,),
        login=LOGIN_IN_CLEAR, auth_due=False),
    # H24: another login than ours, or one that leads nowhere.
    *(Row(24, f"offers only {names}", good(f"AUTH {names}", without=("AUTH",)),
          config("auth.no_common_mechanism", A), over=ENCRYPTED, auth_due=False)
      for names in ["NTLM", "DIGEST-MD5", "X-UNKNOWN GSSAPI"]),
    Row(24, "334 for ever", good("AUTH LOGIN", without=("AUTH",), AUTH=b"334 VXNlcg==\r\n",
        response=b"334 VXNlcg==\r\n"), config("auth.malformed", A), over=ENCRYPTED),
    Row(24, "334 for ever to PLAIN", good(AUTH=b"334 \r\n", response=b"334 \r\n"), config("auth.malformed", A),
        over=ENCRYPTED),
    Row(24, "334 with bad base64", good("AUTH LOGIN", without=("AUTH",), AUTH=b"334 ***\r\n", response=b"501 no\r\n"),
        config("auth.malformed", A), over=ENCRYPTED),
    # H26: SIZE.
    Row(26, "SIZE 10", good("SIZE 10", without=("SIZE",)), message_permanent("message.too_large", S), check=SENT),
    *(Row(26, size, good(size, without=("SIZE",)), SENT) for size in ("SIZE abc", "SIZE 99999999999999999999")),
    # H27: content that it can't carry. (What we compose is 7 bits.)
    Row(27, "no 8BITMIME, 8-bit content", good(without=("8BITMIME",)),
        message_permanent("message.eight_bit_unsupported", S), check=SENT, content="Subject: x\r\n\r\nü\r\n".encode()),
    Row(27, "no SMTPUTF8, such an address", good(without=("SMTPUTF8",)),
        message_permanent("message.utf8_unsupported", S), recipients=("müller@x.test",)),
    # H28, H29, H30: in the body and after the dot.
    Row(28, "stops reading in the body", at("body", moods.stops_reading), message_temp("reply.timeout", D),
        content=BIG, timeouts=QUICK),
    Row(29, "550 during the body", at("body", b"550 5.7.1 enough\r\n"), message_permanent("data.refused", D),
        content=BIG),
    Row(30, "RST after the 250 to the dot", at("QUIT", moods.resets), SENT),
    Row(30, "no answer to QUIT", at("QUIT", moods.is_silent), SENT, timeouts=QUICK),
    # H34: a tarpit. Who was finished stays finished.
    Row(34, "tarpit at each of 100 RCPT", at("RCPT", (b"550 5.1.1 nobody\r\n", moods.after(0.1, b"250 ok\r\n"))),
        (recipient_permanent("recipient.refused"), *(message_temp("attempt.timeout", R),) * 99),
        recipients=tuple(f"r{n}@x.test" for n in range(100)), timeouts=QUICK),
    # H35: HELO only.
    Row(35, "EHLO 502, HELO ok", at("EHLO", b"502 what\r\n"), SENT, over=(PLAIN,)),
    Row(35, "EHLO 502, HELO ok, and a login is due", at("EHLO", b"502 what\r\n"), config("ehlo.refused", E),
        over=(PLAIN,), login=LOGIN_IN_CLEAR, settings={"plaintext": True}),
    Row(35, "EHLO 502, HELO ok, and TLS is due", at("EHLO", b"502 what\r\n"), config("ehlo.refused", E),
        over=ENCRYPTED),
    # H36: another EHLO reply under TLS.
    Row(36, "PIPELINING only under TLS",
        Mood({"MAIL": wants_pipelining}, ("AUTH PLAIN",), ("PIPELINING", "AUTH PLAIN")), SENT, over=(STARTTLS,),
        check=config("sender.refused", S)),  # a check asks one thing after the other
    Row(36, "PIPELINING only before TLS", Mood({"MAIL": wants_lock_step}, ("PIPELINING",), ("AUTH PLAIN",)),
        SENT, over=(STARTTLS,)),
    Row(36, "AUTH dropped under TLS", Mood(offers=("AUTH PLAIN",), offers_after_tls=("PIPELINING",)),
        config("auth.not_offered", A), over=(STARTTLS,), auth_due=False),
    # H39: lines that end with LF.
    Row(39, "bare LF", good(
        greeting=b"220 relay.test\n", EHLO=EHLO.replace(b"\r", b""), AUTH=b"235 ok\n", MAIL=b"250 ok\n",
        RCPT=b"250 ok\n", DATA=b"354 go\n", dot=b"250 ok\n"), SENT, over=(PLAIN, TLS)),
]  # fmt: skip
