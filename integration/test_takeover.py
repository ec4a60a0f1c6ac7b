"""A data directory changes hands between Kafka 3.9.1 and ours, and nothing is lost."""

import pytest

import takeover


@pytest.mark.parametrize("first, second", [("kafka", "barnabas"), ("barnabas", "kafka")])
def test_a_directory_changes_hands(first, second):
    assert takeover.run(first, second) > 5000
