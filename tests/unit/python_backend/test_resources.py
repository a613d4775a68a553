"""Threads and memory of a model: its parameters, and the variables of `mqspn serve`."""

from __future__ import annotations

import pytest
from mqspn_backend.cores import usable_cores
from mqspn_backend.resources import (
    CACHE_VARIABLE,
    THREADS_VARIABLE,
    cache_bytes,
    thread_count,
)

MIB = 1024 * 1024


def test_threads_are_the_parameters_unless_the_variable_says_otherwise() -> None:
    assert thread_count("3", {}) == 3
    assert thread_count("0", {}) == usable_cores()
    assert thread_count("3", {THREADS_VARIABLE: "1"}) == 1
    assert thread_count("3", {THREADS_VARIABLE: "0"}) == usable_cores()


@pytest.mark.parametrize("value", ["-1", "two", "1.5", " 2", "10000000000", "²"])
def test_what_is_no_number_of_threads_is_refused_in_one_sentence(value: str) -> None:
    with pytest.raises(ValueError, match="the model's parameter threads must be a whole number"):
        thread_count(value, {})
    with pytest.raises(ValueError, match=f"{THREADS_VARIABLE} must be a whole number"):
        thread_count("2", {THREADS_VARIABLE: value})


def test_memory_is_a_part_of_what_the_variable_says() -> None:
    assert cache_bytes("90", {CACHE_VARIABLE: "100"}) == 90 * MIB
    assert cache_bytes("90", {CACHE_VARIABLE: "0"}) == 0
    assert cache_bytes("90", {}) == 0
    with pytest.raises(ValueError, match=r"MQSPN_CACHE_MB must be a whole number.*'-1'"):
        cache_bytes("90", {CACHE_VARIABLE: "-1"})
    with pytest.raises(ValueError, match="cache_percent must be a whole number"):
        cache_bytes("", {CACHE_VARIABLE: "1"})


def test_an_empty_variable_is_as_none() -> None:
    assert thread_count("3", {THREADS_VARIABLE: ""}) == 3
    assert cache_bytes("50", {CACHE_VARIABLE: ""}) == 0
