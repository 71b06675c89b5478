"""What is stored is read as it was, and what is answered has the names of its schema."""

from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import TypeAdapter, ValidationError

from handler.issuance import stored_json
from handler.issuance.idempotency import State, StoredRecord
from handler.issuance.issuer import IssuedKeyPair, ReleasedKeyPair
from tests.support.pickup import ISSUED

RELEASED = ReleasedKeyPair(**{field.name: getattr(ISSUED, field.name) for field in fields(ReleasedKeyPair)})
RECORD = StoredRecord(
    State.UNKNOWN, "order", "holder", 1.5, former=("a", "b"), answer="钥匙", recipients=None
)


@pytest.mark.parametrize("record", [ISSUED, RELEASED, RECORD], ids=["issued", "imported", "record"])
def test_it_is_read_as_it_was(record: object) -> None:
    assert stored_json.load(type(record), stored_json.dump(record)) == record


def test_it_is_read_as_pydantic_wrote_it() -> None:
    """Earlier versions of this function have written records that are still there."""
    for record in (ISSUED, RECORD):
        text = TypeAdapter(type(record)).dump_json(record).decode()
        assert stored_json.load(type(record), text) == record


def test_another_record_is_refused() -> None:
    for kind, text in ((IssuedKeyPair, stored_json.dump(RELEASED)), (StoredRecord, stored_json.dump(ISSUED))):
        with pytest.raises(ValidationError):
            stored_json.load(kind, text)


@pytest.mark.parametrize("answer", [ISSUED, RELEASED], ids=["issued", "imported"])
def test_an_answer_has_the_names_of_its_schema(answer: ReleasedKeyPair) -> None:
    described = TypeAdapter(type(answer)).dump_python(answer, by_alias=True)
    assert answer.to_wire() == described
    assert "keyId" in described
