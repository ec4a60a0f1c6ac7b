"""The same Produce requests leave the same bytes on the disks of Kafka 3.9.1 and ours; `scripts/soak same-bytes` runs longer."""

import pytest

import same_bytes
from test_oracle import offered


@pytest.mark.parametrize("seed", [1, 2])
def test_same_requests_same_bytes(seed):
    found, figures = same_bytes.run(seed, 250, offered)
    print(figures)
    assert not found, f"{len(found)} differences\n" + "\n".join(found)
    assert figures["answers by error code"][0] > 100 and figures["bytes on disk"] > 20_000
