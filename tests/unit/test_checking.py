"""The quick look before a validator: what it takes to fit, fits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.worlds.checking import plainly_fits

names = st.sampled_from(["a", "b", "c"])
scalars = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.sampled_from(["", "a", "bcd"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": kinds},
        optional={
            "enum": st.lists(scalars, max_size=3),
            "properties": st.dictionaries(names, inner, max_size=3),
            "required": st.lists(names, max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "items": inner,
            "minimum": st.integers(-2, 2),
            "maximum": st.integers(-2, 2),
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(0, 2),
            "description": st.just("text"),
            "multipleOf": st.just(2),
            "not": inner,
        },
    )


schemas = st.recursive(st.fixed_dictionaries({"type": kinds}), keywords, max_leaves=5)


@given(values, schemas)
def test_what_plainly_fits_is_valid(value, schema):
    if plainly_fits(value, schema):
        assert Draft202012Validator(schema).is_valid(value)


def test_an_ordinary_call_plainly_fits_and_the_faults_of_one_do_not():
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 1, "enum": ["Oslo", "Rome"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert plainly_fits({"city": "Rome", "days": 3, "tags": ["x"]}, schema)
    for wrong in ({}, {"city": "Bern"}, {"city": "Rome", "days": True}, {"city": "Rome", "days": 8},
                  {"city": "Rome", "tags": [1]}, {"city": "Rome", "night": 1}, [], None):  # fmt: skip
        assert not plainly_fits(wrong, schema)


@pytest.mark.parametrize(
    "broken",
    [True, [], {"type": ["string"]}, {"type": "string", "minLength": "2"}, {"type": "string", "enum": "abc"},
     {"type": "string", "pattern": "("}, {"type": "string", "$ref": "#/x"}],
)  # fmt: skip
def test_a_schema_that_is_broken_or_not_simple_is_left_to_the_validator(broken):
    assert not plainly_fits("abc", broken)
