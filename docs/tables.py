"""The tables in these pages that come from the code. `.ci/docs` writes them; `tests/test_docs.py` compares."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from postroom.config import PREFIX, SECRETS, Config
from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect

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


def fields(dialect: Dialect) -> str:
    canonical = {product: ours for ours, product in dialect.words.items()}
    model = next(each.body for each in dialect.endpoints if each.body)
    rows = ["| field | in Postroom | required | note |", "|---|---|---|---|"]
    for name, field in leaves(model):
        required = "yes" if field.is_required() else "no"
        rows.append(f"| `{name}` | `{canonical.get(name, name)}` | {required} | {field.description or ''} |")
    return "\n".join(rows)


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
    if kind == "config":
        return config()
    makers: dict[str, Callable[[Dialect], str]] = {"routes": routes, "fields": fields}
    return makers[kind](next(each for each in ALL if each.name == dialect))


def written(text: str) -> str:
    """The page with its tables as they should be."""
    return _MARK.sub(lambda found: f"{found[1]}{table(found[2])}\n{found[3]}", text)


if __name__ == "__main__":
    for page in HERE.rglob("*.md"):
        page.write_text(written(page.read_text()))
