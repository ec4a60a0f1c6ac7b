"""Apache Kafka and Barnabas measured one after the other on this machine, each kind of broker by the same steps."""

import argparse
import os
import pathlib
import platform
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import partitions  # noqa: E402
import produce  # noqa: E402
import start  # noqa: E402
import storage  # noqa: E402

KINDS = ["kafka", "barnabas"]


def each(run):
    """A part that measures one kind of broker after the other, each from nothing."""
    return lambda options: {kind: run(kind, options) for kind in options.kinds}


PARTS = {
    "ready": each(lambda kind, options: start.ready(kind, options.rounds)),
    "memory": each(lambda kind, options: start.memory(kind)),
    "partitions": each(lambda kind, options: partitions.run(kind, options.count)),
    "produce": each(lambda kind, options: produce.run(kind, options.records)),
    "throughput": each(lambda kind, options: storage.throughput(kind, options.mib)),
    "latency": each(lambda kind, options: storage.latency(kind, options.rate, 30)),
    "recovery": lambda options: storage.recovery(options.kinds, options.gib),
    "clean-start": lambda options: storage.clean_start(options.kinds, options.gib),
    "compaction": lambda options: storage.compaction(options.kinds, options.mib),
    "fetch": lambda options: storage.plain_fetch(options.kinds, options.gib),
}


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--kinds", default=",".join(KINDS), help="which brokers, in which order (default: %(default)s)")
    parser.add_argument("--records", type=int, default=300_000, help="records of the produce run (default: %(default)s)")
    parser.add_argument("--mib", type=int, default=256, help="data of each throughput and compaction run (default: %(default)s)")
    parser.add_argument("--gib", type=float, default=1, help="data of the recovery, clean-start and fetch runs (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5000, help="records/s of the latency run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="starts of the ready run (default: %(default)s)")
    parser.add_argument("--count", type=int, default=1000, help="partitions of the partitions run (default: %(default)s)")
    options = parser.parse_args()
    options.kinds = options.kinds.split(",")
    if not set(options.kinds) <= set(KINDS):
        parser.error(f"--kinds knows {', '.join(KINDS)}")
    return options


def main():
    options = parse()
    wanted = PARTS if options.what == "all" else {options.what: PARTS[options.what]}
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the first run, Linux {platform.release()}")
    results = {kind: {} for kind in options.kinds}
    try:
        for name, part in wanted.items():
            print(f"measuring {name}", file=sys.stderr, flush=True)
            measured = part(options)
            for kind in options.kinds:
                results[kind] |= measured[kind]
    finally:
        # A run that fails half way does not take away what was measured before it.
        print_table(results)


def print_table(results):
    kinds = list(results)
    both = set(KINDS) <= set(kinds)
    print(f"\n{'':28}" + "".join(f"{kind:>12}" for kind in kinds) + (f"{'ratio':>10}" if both else ""))
    for measure in results[kinds[0]]:
        row = [results[kind][measure] for kind in kinds]
        line = f"{measure:28}" + "".join(f"{number(value):>12}" for value in row)
        if both:
            kafka, ours = results["kafka"][measure], results["barnabas"][measure]
            line += f"{ours / kafka:>10.3f}" if kafka else f"{'-':>10}"
        print(line)
    if both:
        print("\nratio = barnabas / kafka")


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


if __name__ == "__main__":
    main()
