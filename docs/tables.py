"""The tables in these pages that come from the code. `.ci/docs` writes them; `tests/test_docs.py` compares."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from postroom import log
from postroom.config import PREFIX, SECRETS, Config
from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect
from postroom.domain.profile import Auth, ClientAuth, Profile, Security, TlsVersion, TokenGrant
from postroom.smtp.advice import ADVICE
from postroom.smtp.causes import CAUSES
from postroom.smtp.sasl.choice import candidates

HERE = Path(__file__).parent
_MARK = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def config() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Config.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        secret = " (secret: also `_FILE`)" if name in SECRETS else ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description}{secret} |")
    return "\n".join(rows)


def routes(dialect: Dialect) -> str:
    rows = ["| method | path | for |", "|---|---|---|"]
    rows += [f"| {each.method} | `{each.path}` | {each.summary} |" for each in dialect.endpoints]
    return "\n".join(rows)


def wire_fields(dialect: Dialect) -> str:
    canonical = {product: ours for ours, product in dialect.words.items()}
    model = next(each.body for each in dialect.endpoints if each.body)
    rows = ["| field | in Postroom | required | note |", "|---|---|---|---|"]
    for name, field in leaves(model):
        required = "yes" if field.is_required() else "no"
        rows.append(f"| `{name}` | `{canonical.get(name, name)}` | {required} | {field.description or ''} |")
    return "\n".join(rows)


COMMON: dict[str, Any] = {"host": "smtp.company.example", "port": 587, "sender_address": "noreply@company.example"}
LOGIN: dict[str, Any] = {"username": "mailer", "security": Security.STARTTLS}
EXAMPLES = (
    Profile(**COMMON, sender_name="Company", reply_to_address="help@company.example", reply_to_name="Help",
            envelope_sender="bounce@company.example", recipient_filter="*@company.example", server_name="mx.example",
            verify_certificate=False, ehlo_name="postroom.example", ca_certificates="PEM", tls_minimum=TlsVersion.V1_3,
            limit_per_minute=30, limit_per_hour=900, limit_per_day=9000, most_connections=2, failover=2),
    Profile(**COMMON, security=Security.STARTTLS),
    Profile(**COMMON, security=Security.STARTTLS_IF_OFFERED),
    Profile(**COMMON | {"port": 465}, security=Security.TLS),
    Profile(**COMMON | {"port": 2465}, security=Security.TLS),
    Profile(**COMMON, **LOGIN, auth=Auth.PASSWORD),
    Profile(**COMMON, **LOGIN, auth=Auth.PASSWORD, mechanism="PLAIN"),
    Profile(**COMMON, **LOGIN, auth=Auth.NTLM),
    Profile(**COMMON, **LOGIN, auth=Auth.OAUTH2, token_url="https://login.example/token", client_id="client",
            token_scope="send", token_audience="mail"),
    Profile(**COMMON, **LOGIN, auth=Auth.OAUTH2, token_url="https://login.example/token", client_id="client",
            token_grant=TokenGrant.REFRESH_TOKEN, token_client_auth=ClientAuth.BASIC),
)  # fmt: skip


def survival(dialect: Dialect, name: str) -> str:
    """Whether a field set in this dialect is what was meant: yes, partly (some values only) or no."""
    telling = [each for each in EXAMPLES if getattr(each, name) != getattr(Profile(**COMMON), name)]
    kept = [name not in dialect.loss(each) for each in telling or EXAMPLES]
    return "yes" if all(kept) else "partly" if any(kept) else "no"


def words() -> str:
    names = [f.name for f in fields(Profile) if f.name != "extras"]
    rows = [f"| field | {' | '.join(each.name for each in ALL)} |", f"|---|{'---|' * len(ALL)}"]
    rows += [f"| `{name}` | {' | '.join(survival(each, name) for each in ALL)} |" for name in names]
    return "\n".join(rows)


def mechanisms() -> str:
    rows = [
        "| `auth` | in verified TLS, the best first | on an open connection or in unverified TLS |",
        "|---|---|---|",
    ]
    for login in list(Auth)[1:]:
        oauth = {"token_url": "https://login.example/token", "client_id": "client"} if login is Auth.OAUTH2 else {}
        open_one = Profile(**COMMON, username="mailer", auth=login, **oauth)
        in_turn = (candidates(each) for each in (replace(open_one, security=Security.TLS), open_one))
        rows.append(f"| `{login}` | {' | '.join(', '.join(kind.name for kind in kinds) for kinds in in_turn)} |")
    return "\n".join(rows)


def events() -> str:
    """Read from the source: each function of the log is one event."""
    rows = ["| event | level | fields | when |", "|---|---|---|---|"]
    tree = ast.parse(Path(inspect.getfile(log)).read_text())
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            at = call.func
            if isinstance(at, ast.Attribute) and isinstance(at.value, ast.Name) and at.value.id == "_log":
                event, told = ast.literal_eval(call.args[0]), [each.arg for each in call.keywords]
                given = ", ".join(f"`{'exception' if name == 'exc_info' else name}`" for name in told)
                meaning = " ".join((ast.get_docstring(function) or "").partition("\n\n")[0].split())
                rows.append(f"| `{event}` | {at.attr} | {given} | {meaning} |")
    return "\n".join(rows)


def causes() -> str:
    rows = ["| cause | why | what to do |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {each.why} | {each.advice} |" for name, each in CAUSES.items())])


def codes() -> str:
    rows = ["| code | what to do |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{code}` | {said} |" for code, said in ADVICE.items())])


def leaves(model: type[BaseModel], inside: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a wire model as the product spells them; those of a model in it as `outer.inner`."""
    for attribute, field in model.model_fields.items():
        name, kinds = f"{inside}{field.alias or attribute}", (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            yield name, field
        else:
            yield from leaves(inner, f"{name}.")


def table(name: str) -> str:
    kind, _, dialect = name.partition(" ")
    if not dialect:
        plain = {
            "config": config, "words": words, "mechanisms": mechanisms, "events": events, "codes": codes,
            "causes": causes,
        }  # fmt: skip
        return plain[kind]()
    makers: dict[str, Callable[[Dialect], str]] = {"routes": routes, "fields": wire_fields}
    return makers[kind](next(each for each in ALL if each.name == dialect))


def written(text: str) -> str:
    """The page with its tables as they should be."""
    return _MARK.sub(lambda found: f"{found[1]}{table(found[2])}\n{found[3]}", text)


if __name__ == "__main__":
    for page in HERE.rglob("*.md"):
        page.write_text(written(page.read_text()))
