"""A short, seeded form of `scripts/soak kill`."""

import kill


def test_nothing_is_lost_by_kills_and_a_pause(kinds):
    load = kill.run(seed=1, kinds=kinds)
    print(f"{load.acknowledged_count} acknowledged, longest silence {load.longest_silence_s:.1f} s")
