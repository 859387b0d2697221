"""The AsyncAPI document and its page: made from the code, and true of the golden frames."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.test import Client as Browser

from realtime import asyncapi, routing
from realtime.protocol import described
from realtime.protocol.closing import CloseCode
from realtime.protocol.errors import ErrorCode

GOLDEN = Path(__file__).parent.parent / "golden"
FRAMES = sorted(path.stem for path in GOLDEN.glob("*-*.json"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi.document("portal.example.com", secure=True)


def schema_of(document: dict[str, Any], tag: str) -> dict[str, Any]:
    """Return the JSON Schema of a message's payload, with what it refers to."""
    return {**document["components"]["messages"][tag]["payload"], "components": document["components"]}


@pytest.mark.parametrize("name", FRAMES)
def test_every_golden_frame_fits_the_schema_of_its_type(document, name):
    frame = json.loads((GOLDEN / f"{name}.json").read_text())
    validator = jsonschema.Draft202012Validator(schema_of(document, frame["type"]))
    assert [error.message for error in validator.iter_errors(frame)] == []


@pytest.mark.parametrize("name", [name for name in FRAMES if not name.endswith("-minimal")])
def test_a_frame_that_lacks_or_breaks_a_required_field_does_not_fit(document, name):
    frame = json.loads((GOLDEN / f"{name}.json").read_text())
    schema = schema_of(document, frame["type"])
    validator = jsonschema.Draft202012Validator(schema)
    required = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["required"]
    for field in required:
        assert not validator.is_valid({key: value for key, value in frame.items() if key != field}), field
    assert not validator.is_valid({**frame, "type": "nonsense"})


def test_every_reference_leads_somewhere(document):
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for item in value.values() for found in references(item)]
        return [found for item in value for found in references(item)] if isinstance(value, list) else []

    found = references(document)
    assert len(found) > 50
    for reference in set(found):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_shape_is_that_of_asyncapi_3(document):
    """Seen to validate against the specification's own JSON Schema; these are the rules that this code could break."""
    assert '"discriminator": {' not in json.dumps(document)
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    for server in document["servers"].values():
        assert server["host"] == "portal.example.com"
        assert server["protocol"] == "wss"
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        here = operation["channel"]["$ref"]
        for message in [*operation["messages"], *operation.get("reply", {}).get("messages", [])]:
            assert message["$ref"].startswith(f"{here}/messages/")


def test_what_each_side_sends_is_what_the_code_says(document):
    sent = {
        message["$ref"].rpartition("/")[2] for message in document["operations"]["sendEngagement"]["messages"]
    }
    assert sent == {frame.tag for frame in described.frames("server")}
    received = {
        message["$ref"].rpartition("/")[2]
        for operation in document["operations"].values()
        if operation["action"] == "receive"
        for message in operation["messages"]
    }
    assert received == {frame.tag for frame in described.frames("client")} == set(asyncapi.REPLIES)


def test_the_addresses_are_routes(document):
    for channel in document["channels"].values():
        address = channel["address"].replace("{client_id}", "5f0c8d8e-4f0e-4b7e-9a36-0c1f2f0d7a11")
        found = [
            route for route in routing.websocket_urlpatterns if route.pattern.match(address.removeprefix("/"))
        ]
        assert "Unknown" not in str(found[0].callback)
        assert len(found) == 2  # itself, and the one that catches all
    assert set(document["channels"]["clientEngagement"]["parameters"]) == {"client_id"}


def test_close_codes_and_error_codes_are_all_told_with_their_meaning(document):
    told = {entry["code"]: entry["meaning"] for entry in document["x-close-codes"]}
    assert set(told) == {int(code) for code in CloseCode}
    assert all(told.values())
    assert set(document["components"]["schemas"]["ErrorCode"]["enum"]) == {code.value for code in ErrorCode}


def test_it_is_served_as_json_with_the_host_it_was_asked_at():
    for path in ("/api/v1/ws/schema", "/api/v1/ws/schema/"):
        answer = Browser().get(path, HTTP_HOST="localhost:8123")
        assert answer.json() == json.loads(json.dumps(asyncapi.document("localhost:8123", secure=False)))


def test_the_page_tells_every_frame_and_keeps_to_the_content_security_policy():
    answer = Browser().get("/api/v1/ws/schema/html")
    html = answer.content.decode()
    for side in ("client", "server"):
        for frame in described.frames(side):
            assert f'id="{side}-{frame.tag}"' in html
            for field in frame.fields:
                assert f"<code>{field.name}</code>" in html
    for code in CloseCode:
        assert f"<td>{int(code)}</td>" in html
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://(?!testserver)", html)
    assert "script-src 'self'" in answer["Content-Security-Policy"]
