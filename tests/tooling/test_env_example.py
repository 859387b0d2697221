"""`.env.example` is the list of settings; nothing else keeps it in step."""

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
