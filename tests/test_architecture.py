"""The arrows of design section 2: what each package may import of Postroom. They point one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "postroom"

LEAVES = {"config", "log"}
MAY_IMPORT = {
    "domain": set(),
    "config": {"domain"},
    "log": set(),
    "store": {"domain", "log"},
    "smtp": {"domain"},
    "dialects": {"domain"},
    "actions": {"store", "smtp", "domain", "log"},
    "web": {"actions", "dialects", "store", "smtp", "domain", "log"},
    "worker": {"store", "smtp", "domain", "log"},
    "cli": {"actions", "config", "domain", "log"},
}
ONLY_HERE = {
    # Design: "the only SQL", "the SMTP client is ours", "the only reader of environment".
    "sqlalchemy": {"store", "actions", "worker", "app"},  # Connection as a type; statements only in store
    "fastapi": {"web"},
    "starlette": {"web", "app", "cli"},
    "typer": {"cli"},
    "aiosmtpd": {"smtp"},
    "pydantic_settings": {"config"},
    "httpx2": {"cli", "smtp"},  # smtp: token endpoints (OAuth 2), under the same network policy as relays
    "spnego": {"smtp"},
}
FORBIDDEN = {"smtplib"}  # no deadlines, no verification (security-reliability.md M2)
ONLY_IN = {"pickle": {"frames.py", "writing.py", "writing_process.py"}}  # between a process and its own fork


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "postroom" else {node.module}
            )
    return names


def part(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_one_way(path: Path):
    here = part(path)
    if here in ("app", "process", "__init__", "__main__"):
        return
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("postroom.") and name.count(".") >= 1}
    assert ours - {here, "__version__"} <= MAY_IMPORT[here]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_library_stays_in_its_rooms(path: Path):
    outside = {name.split(".")[0] for name in imported(path)}
    assert not outside & FORBIDDEN
    assert all(library not in outside or path.name in files for library, files in ONLY_IN.items())
    for library, rooms in ONLY_HERE.items():
        assert library not in outside or part(path) in rooms


def test_nothing_imports_app_but_the_process_and_the_command():
    assert {path.name for path in modules() if "postroom.app" in imported(path)} == {"__main__.py", "process.py"}
    assert {path.name for path in modules() if "postroom.process" in imported(path)} == {"__main__.py"}


def test_the_domain_knows_neither_clock_nor_network_nor_framework():
    allowed = {"abc", "collections", "dataclasses", "enum", "functools", "hmac", "idna", "ipaddress", "re", "types",
               "typing", "unicodedata", "postroom"}  # fmt: skip
    for path in (ROOT / "domain").glob("*.py"):
        assert {name.split(".")[0] for name in imported(path)} <= allowed, path.name


def test_sql_statements_are_written_in_the_store_only():
    statements = {"select", "insert", "update", "delete"}
    for path in modules():
        if part(path) == "store":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy":
                assert not {alias.name for alias in node.names} & statements, path


def test_no_product_is_named_in_code_outside_its_own_file():
    products = ("threadfix", "keyfactor", "digitanium", "keycloak", "onlyoffice")
    for path in modules():
        # The greeting shows a newcomer one product's own call; comments and docstrings cite seeds.
        if part(path) == "dialects" or path.name == "greeting.py":
            continue
        code = without_docstrings(ast.parse(path.read_text())).lower()
        assert [product for product in products if product in code] == [], path


def without_docstrings(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return ast.unparse(tree)  # unparsing leaves out the comments


def test_functions_and_modules_stay_short():
    lengths = []
    for path in modules():
        if "migrations" in path.parts:
            continue
        text = path.read_text()
        assert len(text.splitlines()) <= 350, f"{path} has {len(text.splitlines())} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 50, f"{path}: {node.name} has {length} lines"
                lengths.append(length)
    lengths.sort()
    assert lengths[len(lengths) // 2] <= 8
    assert lengths[len(lengths) * 9 // 10] <= 25
