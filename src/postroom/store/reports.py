"""What reports a message asks for, as its row keeps it: JSON in the API's words."""

import json

from postroom.domain.message import Notify, Reports, Returned


def to_json(reports: Reports | None) -> str | None:
    return None if reports is None else json.dumps({"notify": reports.notify, "return": reports.returned})


def from_json(text: str | None) -> Reports | None:
    if text is None:
        return None
    said = json.loads(text)
    returned = Returned(said["return"]) if said["return"] is not None else None
    return Reports(tuple(Notify(each) for each in said["notify"]), returned)
