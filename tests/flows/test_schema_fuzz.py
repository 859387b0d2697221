"""schemathesis against the OpenAPI schema, in process: no answer is a server's fault or unknown to the schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from compliance_portal.wsgi import application
from tests.factories import AlertFactory, UserFactory
from tests.sockets import token_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = 12


def no_key_is_untold(ctx: Any, response: Any, case: Any) -> None:
    """Fail where an answer has a key that the schema does not tell: an additive drift conforms to any schema."""
    document = case.operation.schema.raw_schema
    told = document["paths"][case.operation.path][case.operation.method.lower()]["responses"]
    schema = (
        told.get(str(response.status_code), {})
        .get("content", {})
        .get("application/json", {})
        .get("schema", {})
    )
    name = schema.get("$ref", "").rpartition("/")[2]
    properties = document["components"]["schemas"].get(name, {}).get("properties")
    if properties:
        assert set(response.json()) <= properties.keys(), case.operation.label


NEVER = ("/api/v1/auth/token/", "/api/v1/auth/token/refresh/")
"""Sign-in: guesses there lock the address out, and that is tested elsewhere."""


def test_no_call_makes_a_fault_and_every_answer_is_as_the_schema_says(tenant, subtests):
    import schemathesis  # here: it takes a second, which a run without this test need not spend

    AlertFactory(client=tenant.client, application=tenant.application)
    UserFactory(role="client_admin", client=tenant.client)
    headers = {"Authorization": f"Bearer {token_for(tenant.msp_user)}"}
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/?format=json", application)
    known = {
        "client_id": str(tenant.client.pk),
        "app_id": str(tenant.application.pk),
        "alert_id": str(AlertFactory(client=tenant.client).pk),
    }
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in NEVER or "/schema" in operation.path:
            continue
        tried += 1
        with subtests.test(operation=operation.label):
            fuzz(operation, headers, known)
    assert tried >= 12


def fuzz(operation: Any, headers: dict[str, str], known: dict[str, str]) -> None:
    """Call an operation with made-up parameters and bodies; every second time about something that is there."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    must_hold = [
        not_a_server_error,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.status_code_conformance,
        no_key_is_untold,
    ]
    calls = 0

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 2:
            case.path_parameters = {
                **(case.path_parameters or {}),
                **{k: v for k, v in known.items() if k in (case.path_parameters or {})},
            }
        case.call_and_validate(headers=headers, checks=must_hold)

    call()
    assert calls
