"""A page as a browser takes it: which fields a form would send, and what can be read."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Page:
    """`fields` are what the form `settings` sends, `wrong` what is marked as wrong, `focus` who gets the focus."""

    fields: dict[str, str] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    focus: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    proposals: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    labelled: set[str] = field(default_factory=set)
    headings: list[int] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)  # what the content security policy would stop
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._form: str | None = None
        self._select: str | None = None
        self._area: str | None = None
        self._disabled = 0
        self._fieldsets: list[bool] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        page, name = self.page, given.get("name", "")
        page.text += "" if tag == "wbr" else " "  # where a word may be broken is inside it
        page.ids += [given["id"]] if "id" in given else []
        page.inline += [f"{tag} {each}" for each in given if each == "style" or each.startswith("on")]
        page.inline += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []
        page.links += [given["href"]] if tag == "a" else []
        if tag == "form":
            self._form = given.get("id")
            page.actions.append(given.get("action", ""))
        if tag == "fieldset":
            self._fieldsets.append("disabled" in given)
        if tag == "label":
            page.labelled.add(given.get("for", ""))
        if tag in ("h1", "h2", "h3", "h4"):
            page.headings.append(int(tag[1]))
        if "aria-invalid" in given:
            page.wrong.add(name)
        if "autofocus" in given:
            page.focus.append(name)
        if tag == "button" and name == "use":
            page.proposals.append(given["value"])
        ours = (self._form == "settings" or given.get("form") == "settings") and not any(self._fieldsets)
        if not ours:
            if tag == "option" and self._select and "selected" in given:
                page.fields[self._select] = given.get("value", "")
            return
        if tag == "input" and given.get("type") not in ("checkbox", "submit"):
            page.fields[name] = given.get("value", "")
        if tag == "select":
            self._select = name
        if tag == "option" and self._select:
            page.fields.setdefault(self._select, given["value"])
            if "selected" in given:
                page.fields[self._select] = given["value"]
        if tag == "textarea":
            self._area = name
            page.fields[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag == "fieldset":
            self._fieldsets.pop()
        if tag == "select":
            self._select = None
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        self.page.text += data
        if self._area:
            # The first line break in a text area is not part of it (HTML standard, textarea).
            self.page.fields[self._area] = (self.page.fields[self._area] + data).removeprefix("\n")


def read(html: str) -> Page:
    reader = _Reader()
    reader.feed(html)
    reader.page.text = " ".join(reader.page.text.split())
    return reader.page
