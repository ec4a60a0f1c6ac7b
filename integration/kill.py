"""Kill runs: a cluster under load loses its leader, its controller, both, and a paused broker; then the books are
checked. `kill.py --runs 20 --seed 1` prints one line per run; status 1 if a run found a fault."""

import argparse
import random
import sys
import time

from faults import FAULTS, in_sync
from harness import Cluster
from history import Load, check, create_topic, read_all

PARTITIONS = 3


def run(seed, kinds, faults=None):
    """One cluster, one load, all faults in the order that the seed gives."""
    order = list(faults or FAULTS)
    random.Random(seed).shuffle(order)
    with Cluster(kinds, settings={"min.insync.replicas": 2, "replica.lag.time.max.ms": 5000}) as cluster:
        create_topic(cluster.bootstrap, "chaos", PARTITIONS)
        with Load(cluster.bootstrap, "chaos", PARTITIONS) as load:
            load.wait_acknowledged(100)
            for fault in order:
                in_sync(cluster, "chaos", PARTITIONS)
                fault(cluster, "chaos", load)
        in_sync(cluster, "chaos", PARTITIONS)
        records = read_all(cluster.bootstrap, "chaos", PARTITIONS)
        faults_found = check(load, records)
        if faults_found:
            cluster_files = cluster.directory
            raise AssertionError(f"seed {seed} ({[f.__name__ for f in order]}): {faults_found}; files in {cluster_files}")
    return load


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default="barnabas,barnabas,barnabas")
    options = parser.parse_args()
    bad = 0
    for seed in range(options.seed, options.seed + options.runs):
        start = time.monotonic()
        try:
            load = run(seed, options.kinds.split(","))
            print(f"seed {seed}: {load.acknowledged_count} acknowledged, 0 lost, 0 twice, in order; longest silence "
                  f"{load.longest_silence_s:.1f} s; {time.monotonic() - start:.0f} s", flush=True)
        except (AssertionError, TimeoutError, RuntimeError) as error:
            bad += 1
            print(f"seed {seed}: FAILED: {error}", flush=True)
    print(f"{options.runs - bad} passed, {bad} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
