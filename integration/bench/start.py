"""One broker beside a ZooKeeper that is already up: time until it is ready, memory when nobody uses it."""

import statistics
import time

from harness import Broker, Cluster
from measure import brokers_listed, resident_mib

POLL_S = 0.001
PATIENCE_S = 60
IDLE_S = 10


def ready(kind, rounds):
    """From exec to the first Metadata answer that lists the broker, each time with an empty directory and chroot."""
    times = []
    with Cluster([]) as cluster:
        for n in range(rounds):
            broker = Broker(kind, n, f"{cluster.connect}/{kind}{n}", cluster.directory / f"{kind}{n}")
            start = time.monotonic()
            broker.start(wait=False)
            try:
                wait_listed(broker, start + PATIENCE_S)
                times.append(time.monotonic() - start)
            finally:
                broker.kill()
    return {"ready, s (median)": statistics.median(times), "ready, s (slowest)": max(times)}


def wait_listed(broker, end):
    while True:
        try:
            if broker.id in brokers_listed(broker.port):
                return
        except OSError:
            pass
        if not broker.alive() or time.monotonic() > end:
            raise RuntimeError(f"{broker.name} never listed itself:\n{broker.log()[-2000:]}")
        time.sleep(POLL_S)


def memory(kind):
    """Resident memory some seconds after the broker is ready."""
    with Cluster([]) as cluster:
        broker = Broker(kind, 0, cluster.connect, cluster.directory / "broker")
        start = time.monotonic()
        broker.start(wait=False)
        try:
            wait_listed(broker, start + PATIENCE_S)
            time.sleep(IDLE_S)
            now, peak = resident_mib(broker.pid)
        finally:
            broker.kill()
    return {f"idle {IDLE_S} s, resident MiB": now, "  peak": peak}
