"""One real Kafka broker among ours, and either kind as controller: topics work, a kill loses nothing."""

import pytest

import kill
from faults import kill_controller, kill_leader


@pytest.mark.parametrize("kinds", [("barnabas", "kafka", "barnabas"), ("kafka", "barnabas", "kafka")])
def test_a_mixed_cluster_survives(kinds):
    kill.run(seed=2, kinds=list(kinds), faults=[kill_leader, kill_controller])
