"""Records are frozen, each kind has its type and schema, and phasors are complex RMS values."""

import cmath

import pytest

from algorithms.api.readings import Phasor
from algorithms.api.records import Event, Kind, Severity, kind_of, type_of_kind
from tests.support.records_for_tests import frame


def test_every_kind_but_samples_has_a_record_type_with_a_schema_of_its_own():
    assert set(type_of_kind) == set(Kind) - {Kind.SAMPLES}
    schemas = [record_type.__struct_config__.tag for record_type in type_of_kind.values()]
    assert len(set(schemas)) == len(schemas)
    assert all(str(schema).partition("/")[0] == kind for kind, schema in zip(type_of_kind, schemas, strict=True))


def test_the_kind_of_a_record_is_that_of_its_type():
    assert kind_of(frame(0)) == Kind.FRAME
    assert kind_of(Event("dip", "t", 1, None, Severity.NOTICE)) == Kind.EVENT


def test_a_record_cannot_be_changed():
    with pytest.raises(AttributeError):
        frame(0).window = 1.0


def test_a_phasor_is_its_magnitude_at_its_angle_and_real_where_it_has_none():
    assert cmath.isclose(Phasor(2.0, cmath.pi / 2, 0.1, 0.1).phasor, 2j)
    assert Phasor(2.0, None, 0.1, None).phasor == 2.0
