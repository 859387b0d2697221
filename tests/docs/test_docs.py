"""Documents and code cannot drift apart: what is made from code is in step, what is named exists, commands run."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands

from engagement.models import Client
from realtime.conf import RealtimeSettings
from realtime.models import Event
from realtime.protocol.errors import ErrorCode
from tests.conftest import StartPortal
from tests.factories import two_tenants
from tests.live import database_url_of_tests
from tests.operations.test_metrics import place
from tests.servers import warm
from tests.sockets import Socket, token_for

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
OURS = [
    ROOT / "docs" / f"{name}.md"
    for name in (
        "quickstart",
        "protocol",
        "operations",
        "deployment",
        "embedding",
        "troubleshooting",
        "security",
    )
]
FENCE = re.compile(r"^(?P<before>[^\n]*)\n```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "console", "python", "ts", "session"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its page, its language, what stands in it, and the line before."""

    page: str
    language: str
    body: str
    before: str

    @property
    def commands(self) -> list[str]:
        """Its lines, for a shell."""
        return [line for line in self.body.splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(
            page.name,
            match["language"],
            match["body"],
            match["before"],
        )
        for match in re.finditer(FENCE, text)
    ]
    assert len(found) == text.count("\n```") // 2
    return found


def pages_with(language: str) -> list[Path]:
    """Return our pages that have blocks of a language."""
    return [page for page in OURS if any(block.language == language for block in blocks(page))]


@pytest.mark.slow
def test_what_is_made_from_the_code_is_in_step():
    subprocess.run([sys.executable, "scripts/write_docs.py", "--check"], cwd=ROOT, check=True, timeout=60)


def test_the_check_notices_what_is_not(tmp_path):
    sys.path.insert(0, str(ROOT / "scripts"))
    import write_docs

    for page, part in (("operations.md", "REALTIME_SUBSCRIPTIONS"), ("protocol.md", "token_expires_at")):
        text = (ROOT / "docs" / page).read_text()
        changed = text.replace(f"| `{part}` |", "| `something_else` |")
        assert changed != text
        assert write_docs.with_parts(changed) == text


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_index_leads_to_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in DOCS:
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.name)
def test_a_command_is_run_or_says_why_not(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, block
        if block.language == "console":
            assert re.fullmatch(r"<!-- not run.*: .{10,} -->", block.before), block


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.name)
def test_what_is_named_exists(page):
    text = page.read_text()
    known = {f"REALTIME_{field.name.upper()}" for field in dataclasses.fields(RealtimeSettings)}
    known |= {"REALTIME_PORTAL", "REALTIME_CLIENT_MODEL", "REALTIME_MSP_MODEL"}  # which classes, not how
    assert set(re.findall(r"\bREALTIME_[A-Z_]+[A-Z]\b", text)) <= known
    for command in re.findall(r"manage\.py ([a-z_]+)\b", text):
        assert command in get_commands(), command
    for path in re.findall(
        r"\b((?:deploy|scripts|realtime|engagement|compliance_portal|frontend|tests)/[\w@./-]+)", text
    ):
        assert (ROOT / path.rstrip("./").partition("::")[0]).exists(), path
    for check in re.findall(r"realtime\.[EW]\d{3}", text):
        assert f'"{check}"' in (ROOT / "realtime" / "checks.py").read_text()


def test_the_walk_finds_the_commands_of_the_deployment_page():
    """scripts/walk_deployment.py types them into an empty machine, which takes root, debootstrap and minutes."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import walk_deployment

    steps = walk_deployment.sections((ROOT / "docs" / "deployment.md").read_text())
    assert all(steps[number] for number in "12345678")
    assert steps["Restarting"].splitlines() == [f"systemctl restart portal@{port}" for port in (8001, 8002)]
    assert "manage.py createsuperuser\n" in steps["5"]
    assert "seed_demo" in steps["8"]
    assert "emit_event" in steps["8"]


def test_every_error_code_is_explained():
    text = (ROOT / "docs" / "protocol.md").read_text()
    table = text[text.index("## Error codes") : text.index("## Frames from the client")]
    explained = set(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    codes = {code for cell in explained for code in re.findall(r"`(\w+)`", cell)}
    assert codes == {code.value for code in ErrorCode}


def test_every_threat_has_a_test_that_there_is():
    text = (ROOT / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| (?!threat|---)(.+?) \| .+ \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) >= 20
    for threat, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        assert named, threat
        for file, name in named:
            assert re.search(rf"def {name}\(", (ROOT / file).read_text()), (threat, name)


@pytest.fixture
def demo(portal_server: StartPortal):
    """Return a portal with demo data, and the environment that commands need to work on it."""
    call_command("seed_demo", "--days", "1", "--force", stdout=StringIO())
    portal = portal_server()
    return portal, {**os.environ, "DATABASE_URL": database_url_of_tests()}


def here(text: str, url: str) -> str:
    """Return a command or program as it works here."""
    return text.replace(".venv/bin/python", sys.executable).replace("http://127.0.0.1:8000", url)


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command line, in a shell unless it is just one of the portal's own."""
    words = shlex.split(command)
    if words[:2] == [sys.executable, "manage.py"] and not set(command) & set("|&;<>()$`*?~#"):
        return warm.manage(*words[2:], environment=environment, check=False)
    return subprocess.run(
        ["bash", "-euc", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("sh"), ids=lambda page: page.name)
def test_the_commands_run(demo, page):
    portal, environment = demo
    assert shutil.which("curl"), "curl is not installed: apt install curl"
    for block in blocks(page):
        for command in block.commands if block.language == "sh" else []:
            done = run(here(command, portal.url), environment)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_the_program_of_the_quick_start_runs(demo):
    portal, environment = demo
    (program,) = [
        block.body for block in blocks(ROOT / "docs" / "quickstart.md") if "asyncio.run" in block.body
    ]
    done = subprocess.run(
        [sys.executable, "-c", here(program, portal.url)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "connection", done.stderr


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", ["quickstart.md", "embedding.md"])
def test_the_broadcasts_of_the_pages_are_events(page):
    client: Client = two_tenants()[0].client
    place()
    before = Event.objects.count()
    found = [
        block
        for block in blocks(ROOT / "docs" / page)
        if "broadcast" in block.body and block.language == "python"
    ]
    assert found
    for block in found:
        exec(compile(block.body, page, "exec"), {"client_id": client.pk, "msp_id": client.msp_id})
    place()
    assert Event.objects.count() == before + len(found)


@pytest.mark.slow
async def test_the_example_session_is_what_a_server_answers(portal_server: StartPortal):
    portal = await asyncio.to_thread(portal_server)
    tenant = (await asyncio.to_thread(two_tenants))[0]
    (session,) = [block for block in blocks(ROOT / "docs" / "protocol.md") if block.language == "session"]
    async with Socket(f"{portal.ws_url}/api/v1/ws/engagement", token=token_for(tenant.client_user)) as socket:
        for line in session.commands:
            arrow, text = line[0], line[2:]
            if arrow == "→":
                await socket.send(text)
                continue
            assert arrow == "←"
            answer, expected = await socket.receive(), json.loads(text)
            assert {key: answer.get(key) for key in expected} == expected
