"""Who there is in the demo: two MSPs with three clients each, what those use, and who may sign in."""

from __future__ import annotations

from dataclasses import dataclass

from engagement.access import Role
from engagement.models import Application, Client

PERMITTED = Application.Status.PERMITTED
UNSANCTIONED = Application.Status.UNSANCTIONED


@dataclass(frozen=True, slots=True)
class DemoDepartment:
    """`headcount` people. `appetite` scales how many of them use AI on a working day (1.0: as the application says)."""

    name: str
    headcount: int
    appetite: float = 1.0


@dataclass(frozen=True, slots=True)
class DemoApplication:
    """`adoption`: share of people who use it on a working day; `uses`: how often each of them, on average."""

    name: str
    vendor: str
    icon: str
    adoption: float
    uses: float
    status: Application.Status = PERMITTED
    risk_tolerance: int = 50


@dataclass(frozen=True, slots=True)
class DemoAgent:
    """As an application; `apps` are the names it works in. A `retired` one was last used weeks ago."""

    name: str
    vendor: str
    icon: str
    adoption: float
    uses: float
    apps: tuple[str, ...] = ()
    deployed: bool = True
    retired: bool = False


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client company; `domain` is its people's mail domain (under .example, which nobody can own: RFC 2606)."""

    name: str
    industry: str
    company_size: str
    tier: Client.Tier
    status: Client.Status
    domain: str
    departments: tuple[DemoDepartment, ...]
    applications: tuple[DemoApplication, ...]
    agents: tuple[DemoAgent, ...]


@dataclass(frozen=True, slots=True)
class DemoMSP:
    """An MSP and the clients it looks after."""

    name: str
    clients: tuple[DemoClient, ...]


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """Somebody who can sign in. `msp` is an index into `MSPS`; a client role is of its first client."""

    username: str
    first_name: str
    last_name: str
    role: Role | None
    """None: the superuser."""
    msp: int | None = None
    staff: bool = False


CHATGPT = DemoApplication("ChatGPT", "OpenAI", "💬", adoption=0.42, uses=6.0, risk_tolerance=60)
COPILOT = DemoApplication("Microsoft Copilot", "Microsoft", "🪟", adoption=0.35, uses=7.5, risk_tolerance=75)
CLAUDE = DemoApplication("Claude", "Anthropic", "✳️", adoption=0.18, uses=6.5, risk_tolerance=65)
GEMINI = DemoApplication("Gemini", "Google", "✨", adoption=0.14, uses=4.0, risk_tolerance=60)
GITHUB = DemoApplication("GitHub Copilot", "GitHub", "🐙", adoption=0.12, uses=14.0, risk_tolerance=70)
GRAMMARLY = DemoApplication("Grammarly", "Superhuman", "✍️", adoption=0.2, uses=5.0, risk_tolerance=55)
NOTION = DemoApplication("Notion AI", "Notion", "📓", adoption=0.1, uses=3.5, risk_tolerance=55)
PERPLEXITY = DemoApplication("Perplexity", "Perplexity", "🔎", 0.09, 4.0, UNSANCTIONED, 35)
DEEPSEEK = DemoApplication("DeepSeek", "DeepSeek", "🐋", 0.05, 5.0, UNSANCTIONED, 10)
MIDJOURNEY = DemoApplication("Midjourney", "Midjourney", "🎨", 0.03, 3.0, UNSANCTIONED, 30)
OTTER = DemoApplication("Otter.ai", "Otter", "🎙️", 0.06, 2.0, UNSANCTIONED, 20)
CHARACTER = DemoApplication("Character.AI", "Character", "🎭", 0.02, 6.0, UNSANCTIONED, 5)

HARBOR_DENTAL = DemoClient(
    name="Harbor Dental",
    industry="Healthcare",
    company_size="51-200",
    tier=Client.Tier.PROFESSIONAL,
    status=Client.Status.ACTIVE,
    domain="harbordental.example",
    departments=(
        DemoDepartment("Front Desk", 14, 1.2),
        DemoDepartment("Clinical", 22, 0.6),
        DemoDepartment("Billing & Insurance", 12, 1.3),
        DemoDepartment("Marketing", 5, 1.7),
        DemoDepartment("Operations", 8),
    ),
    applications=(CHATGPT, COPILOT, GRAMMARLY, GEMINI, OTTER, DEEPSEEK),
    agents=(
        DemoAgent("Appointment Concierge", "Microsoft", "📅", 0.16, 9.0, ("Microsoft Copilot",)),
        DemoAgent("Claims Coder", "In-house", "🧾", 0.1, 12.0, ("ChatGPT", "Microsoft Copilot")),
        DemoAgent("Intake Summarizer", "OpenAI", "🩺", 0.05, 4.0, ("ChatGPT",), retired=True),
    ),
)

ALDER_FINCH = DemoClient(
    name="Alder & Finch Legal",
    industry="Legal services",
    company_size="11-50",
    tier=Client.Tier.ENTERPRISE,
    status=Client.Status.ACTIVE,
    domain="alderfinch.example",
    departments=(
        DemoDepartment("Litigation", 13, 1.1),
        DemoDepartment("Corporate", 11, 1.2),
        DemoDepartment("Paralegals", 10, 1.5),
        DemoDepartment("Administration", 7, 0.8),
    ),
    applications=(CHATGPT, COPILOT, CLAUDE, GRAMMARLY, PERPLEXITY),
    agents=(
        DemoAgent("Contract Reviewer", "Anthropic", "📑", 0.24, 7.0, ("Claude",)),
        DemoAgent("Discovery Sorter", "In-house", "🗂️", 0.12, 16.0, ("ChatGPT", "Claude")),
        DemoAgent("Billing Narrator", "Microsoft", "⏱️", 0.08, 5.0, ("Microsoft Copilot",)),
    ),
)

BRIGHTWATER = DemoClient(
    name="Brightwater Logistics",
    industry="Transportation",
    company_size="201-500",
    tier=Client.Tier.PROFESSIONAL,
    status=Client.Status.ACTIVE,
    domain="brightwater.example",
    departments=(
        DemoDepartment("Dispatch", 26, 0.8),
        DemoDepartment("Warehouse", 30, 0.3),
        DemoDepartment("Customer Service", 20, 1.4),
        DemoDepartment("Engineering", 12, 2.0),
        DemoDepartment("Finance", 9),
        DemoDepartment("Human Resources", 5, 1.2),
    ),
    applications=(CHATGPT, COPILOT, GITHUB, GEMINI, NOTION, PERPLEXITY, MIDJOURNEY),
    agents=(
        DemoAgent("Route Planner", "In-house", "🗺️", 0.2, 11.0, ("ChatGPT",)),
        DemoAgent("Shipment Status Bot", "Microsoft", "📦", 0.18, 15.0, ("Microsoft Copilot",)),
        DemoAgent("Customs Drafter", "Google", "🛃", 0.05, 4.0, ("Gemini",), deployed=False, retired=True),
        DemoAgent("Code Reviewer", "GitHub", "🧑‍💻", 0.06, 8.0, ("GitHub Copilot",)),
    ),
)

COPPERFIELD = DemoClient(
    name="Copperfield Credit Union",
    industry="Financial services",
    company_size="201-500",
    tier=Client.Tier.ENTERPRISE,
    status=Client.Status.ACTIVE,
    domain="copperfieldcu.example",
    departments=(
        DemoDepartment("Member Services", 28, 1.1),
        DemoDepartment("Lending", 16),
        DemoDepartment("Risk & Compliance", 8, 1.4),
        DemoDepartment("IT", 10, 1.9),
        DemoDepartment("Branches", 30, 0.5),
    ),
    applications=(CHATGPT, COPILOT, CLAUDE, GITHUB, DEEPSEEK, PERPLEXITY),
    agents=(
        DemoAgent("Loan Pre-screener", "In-house", "🏦", 0.12, 10.0, ("Claude",)),
        DemoAgent("Member Chat Assistant", "Microsoft", "🤝", 0.2, 14.0, ("Microsoft Copilot",)),
        DemoAgent("Fraud Triage", "OpenAI", "🛡️", 0.06, 9.0, ("ChatGPT",)),
    ),
)

JUNIPER = DemoClient(
    name="Juniper Veterinary Group",
    industry="Veterinary",
    company_size="51-200",
    tier=Client.Tier.BASIC,
    status=Client.Status.TRIAL,
    domain="junipervets.example",
    departments=(
        DemoDepartment("Reception", 16, 1.1),
        DemoDepartment("Veterinarians", 14, 0.9),
        DemoDepartment("Practice Management", 6, 1.4),
    ),
    applications=(CHATGPT, COPILOT, GEMINI, OTTER, CHARACTER),
    agents=(
        DemoAgent("Visit Note Writer", "OpenAI", "📝", 0.2, 6.0, ("ChatGPT",)),
        DemoAgent("Refill Reminder", "Microsoft", "💊", 0.07, 5.0, ("Microsoft Copilot",)),
    ),
)

MAPLE_GROVE = DemoClient(
    name="Maple Grove Manufacturing",
    industry="Manufacturing",
    company_size="201-500",
    tier=Client.Tier.PROFESSIONAL,
    status=Client.Status.ACTIVE,
    domain="maplegrove.example",
    departments=(
        DemoDepartment("Production", 32, 0.3),
        DemoDepartment("Quality", 12, 0.9),
        DemoDepartment("Engineering", 15, 1.7),
        DemoDepartment("Sales", 11, 1.4),
        DemoDepartment("Purchasing", 7),
    ),
    applications=(CHATGPT, COPILOT, GITHUB, GRAMMARLY, NOTION, MIDJOURNEY, DEEPSEEK),
    agents=(
        DemoAgent("Quote Builder", "Microsoft", "🧮", 0.12, 8.0, ("Microsoft Copilot",)),
        DemoAgent("Defect Classifier", "In-house", "🔬", 0.09, 18.0, ("ChatGPT",)),
        DemoAgent("Supplier Scout", "Perplexity", "🔭", 0.03, 4.0, (), deployed=False, retired=True),
    ),
)

MSPS = (
    DemoMSP("Lighthouse Managed IT", (HARBOR_DENTAL, ALDER_FINCH, BRIGHTWATER)),
    DemoMSP("Summit Ridge Technologies", (COPPERFIELD, JUNIPER, MAPLE_GROVE)),
)

LOGINS = (
    DemoLogin("admin", "Ada", "Okafor", role=None),
    DemoLogin("msp_admin", "Morgan", "Ellis", Role.MSP_ADMIN, msp=0, staff=True),
    DemoLogin("msp_user", "Priya", "Raman", Role.MSP_USER, msp=0),
    DemoLogin("client_admin", "Lena", "Hartwig", Role.CLIENT_ADMIN, msp=0),
    DemoLogin("client_user", "Tom", "Alvarez", Role.CLIENT_USER, msp=0),
    DemoLogin("other_msp_admin", "Sofia", "Lindqvist", Role.MSP_ADMIN, msp=1),
    DemoLogin("other_client_user", "Ben", "Osei", Role.CLIENT_USER, msp=1),
)

DEFAULT_PASSWORD = "demo-only"  # noqa: S105 - known on purpose: seed_demo refuses to run outside DEBUG


def find(client_name: str) -> DemoClient:
    """Return the demo client of this name; for any other name one of which nothing is known but a mail domain."""
    for msp in MSPS:
        for client in msp.clients:
            if client.name == client_name:
                return client
    letters = "".join(letter for letter in client_name.casefold() if letter.isascii() and letter.isalnum())
    domain = f"{letters or 'client'}.example"
    return DemoClient(client_name, "", "", Client.Tier.BASIC, Client.Status.ACTIVE, domain, (), (), ())
