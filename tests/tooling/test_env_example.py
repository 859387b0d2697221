"""`.env.example` is the list of settings; nothing else keeps it in step."""

import ast
import dataclasses
import re
from pathlib import Path

from realtime.conf import RealtimeSettings

ROOT = Path(__file__).resolve().parents[2]
LISTED = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_variable_that_the_settings_read_is_listed() -> None:
    settings = (ROOT / "compliance_portal" / "settings.py").read_text()
    read = set(re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z_]+)"', settings))
    assert read <= LISTED.keys()


def test_every_realtime_setting_is_listed_with_its_default() -> None:
    listed = {name: value for name, value in LISTED.items() if name.startswith("REALTIME_")}
    defined = {
        f"REALTIME_{field.name.upper()}": f"{field.default:g}"
        if isinstance(field.default, float)
        else str(field.default)
        for field in dataclasses.fields(RealtimeSettings)
    }
    assert listed == defined


def test_every_plain_default_of_the_settings_is_the_one_that_is_listed() -> None:
    tree = ast.parse((ROOT / "compliance_portal" / "settings.py").read_text())
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("env")
    ]
    defaults = {
        ast.literal_eval(call.args[0]): keyword.value.value
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "default" and isinstance(keyword.value, ast.Constant)
    }
    del defaults["SECRET_KEY"]  # the one for development is no example
    assert len(defaults) > 8
    written = {name: str(value).lower() if value is True else str(value) for name, value in defaults.items()}
    assert {name: LISTED[name] for name in written} == written
