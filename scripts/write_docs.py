"""Write the parts of docs/ that are made from the code: frames, close codes, settings, metrics, the model of a load.

They stand between `<!-- made from the code: NAME -->` and `<!-- end -->`. With --check: change nothing, and end with
status 1 if one is out of step.
"""

import dataclasses
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import django  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "compliance_portal.settings")
django.setup()

from prometheus_client.metrics import MetricWrapperBase  # noqa: E402

from benchmarks import model  # noqa: E402
from realtime import conf, metrics, metrics_endpoint  # noqa: E402
from realtime.protocol import described, inbound  # noqa: E402
from realtime.protocol.closing import CloseCode  # noqa: E402

REMEDY = "Run `make docs` and commit the result."
PART = re.compile(r"(<!-- made from the code: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write all parts, or check them."""
    check = sys.argv[1:] == ["--check"]
    out_of_step = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        written = with_parts(text)
        if written != text:
            out_of_step.append(f"docs/{page.name}")
            if not check:
                page.write_text(written, encoding="utf-8")
                print(f"docs/{page.name} written")
    if check and out_of_step:
        sys.exit(f"Out of step with the code: {', '.join(out_of_step)}. {REMEDY}")


def with_parts(text: str) -> str:
    """Return a page with its parts as they should be."""
    return PART.sub(lambda part: f"{part[1]}{PARTS[part['name']]()}{part[3]}", text)


def frames(side: described.Side) -> str:
    """Return a section for each frame that a side sends."""
    sections = []
    for frame in described.frames(side):
        rows = [[f"`{field.name}`", field.kind, "yes" if field.required else ""] for field in frame.fields]
        fields = table(["field", "type", "always"], rows) if rows else ""
        sections.append(f"#### `{frame.tag}`\n\n{frame.meaning}\n\n{fields}")
    return "\n".join(sections)


def close_codes() -> str:
    """Return the table of close codes."""
    return table(
        ["code", "name", "meaning"],
        [[str(int(value)), name, meaning] for name, value, meaning in described.members(CloseCode)],
    )


def limits() -> str:
    """Return the bounds of a client's frame."""
    return (
        f"A client's frame has at most {inbound.MAX_BYTES:,} bytes and nests at most {inbound.MAX_DEPTH} levels. "
        f"Positions of at most {described.most_positions()} streams are read at once.\n"
    )


def settings() -> str:
    """Return a table of settings for each section of the settings class."""
    sections, rows = [], []
    fields = {field.name: field for field in dataclasses.fields(conf.RealtimeSettings)}
    for line in inspect.getsource(conf.RealtimeSettings).splitlines():
        if heading := re.fullmatch(r"    # (.+)", line):
            rows = []
            sections.append((heading[1], rows))
        elif (name := re.match(r"    (\w+): ", line)) and name[1] in fields:
            field = fields.pop(name[1])
            unit, least = field.metadata["unit"], field.metadata["least"]
            rows.append(
                [
                    f"`REALTIME_{field.name.upper()}`",
                    f"{field.default:g} {unit}"
                    if isinstance(field.default, float)
                    else f"{field.default} {unit}".strip(),
                    "" if least is None else f"{least:g}",
                    field.metadata["meaning"],
                ]
            )
    if fields:
        sys.exit(f"conf.py: no section holds {sorted(fields)}")
    heads = ["variable", "default", "least", "meaning"]
    return "\n".join(f"#### {title}\n\n{table(heads, rows)}" for title, rows in sections)


def metric_table() -> str:
    """Return the table of all that /metrics shows of ours."""
    rows = [[f"`{name}`", kind, ", ".join(labels), meaning] for name, kind, labels, meaning in metric_rows()]
    return table(["metric", "kind", "labels", "meaning"], rows)


def metric_rows() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield name, kind, labels and meaning of each metric: those counted where it happens, then those asked for."""
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            family = metric.describe()[0]
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, metric._labelnames, family.documentation
    for family in metrics_endpoint.State(True, 0, 0, 0, 0.0, 0.0, 0).families():
        yield family.name, family.type, (), family.documentation


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


PARTS: dict[str, Callable[[], str]] = {
    "client-frames": lambda: frames("client"),
    "server-frames": lambda: frames("server"),
    "close-codes": close_codes,
    "limits": limits,
    "settings": settings,
    "metrics": metric_table,
    "scaling-assumptions": model.assumptions,
    "scaling": lambda: model.report(model.Load(), model.measured()) + "\n",
    "scaling-together": lambda: model.report(model.Load(together=True), model.measured()) + "\n",
}

if __name__ == "__main__":
    main()
