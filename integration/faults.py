"""The faults that the kill runs make. Each takes the cluster and the topic; and returns when the fault is healed."""

from harness import wait_until


def leader_of(cluster, topic, partition=0):
    return cluster.brokers[cluster.partition_state(topic, partition)["leader"]]


def controller_of(cluster):
    number = wait_until(lambda: cluster.controller_id() is not None and [cluster.controller_id()], 60, "a controller")
    return cluster.brokers[number[0]]


def in_sync(cluster, topic, partitions, timeout_s=90):
    """Waits until every replica is in sync again."""
    for p in range(partitions):
        wait_until(lambda: len(cluster.partition_state(topic, p)["isr"]) == len(cluster.brokers), timeout_s,
                   f"all replicas of {topic}-{p} in sync: {cluster.partition_state(topic, p)}")


def kill_leader(cluster, topic, load):
    kill_and_return(cluster, topic, load, [leader_of(cluster, topic)])


def kill_controller(cluster, topic, load):
    kill_and_return(cluster, topic, load, [controller_of(cluster)])


def kill_both(cluster, topic, load):
    """The leader and the controller at once: with three replicas and min.insync.replicas=2 the topic may stand still
    until one of them is back, but nothing may be lost."""
    leader, controller = leader_of(cluster, topic), controller_of(cluster)
    victims = [leader] if leader is controller else [leader, controller]
    kill_and_return(cluster, topic, load, victims, progress=len(victims) == 1)


def kill_and_return(cluster, topic, load, victims, progress=True):
    for victim in victims:
        victim.kill()
    if progress:
        load.wait_acknowledged(200)
    for victim in victims:
        if victim.kind == "kafka":  # It exits at once while its old registration is there; ours waits for it to go.
            wait_until(lambda: str(victim.id) not in live_ids(cluster), 60, f"broker {victim.id} to expire")
        victim.start(wait=False)
    for victim in victims:
        victim.wait_for(victim.ready)
    load.wait_acknowledged(200)


def pause_leader(cluster, topic, load):
    """SIGSTOP past the ZooKeeper session: it wakes up believing that it still leads."""
    victim = leader_of(cluster, topic)
    victim.pause()
    try:
        wait_until(lambda: str(victim.id) not in live_ids(cluster), 60, f"the session of broker {victim.id} to expire")
        load.wait_acknowledged(200)
    finally:
        victim.resume()
    wait_until(lambda: str(victim.id) in live_ids(cluster), 60, f"broker {victim.id} to register again")
    load.wait_acknowledged(200)


def live_ids(cluster):
    client = cluster.zk()
    try:
        return client.get_children("/brokers/ids")
    finally:
        client.stop()
        client.close()


FAULTS = [kill_leader, kill_controller, kill_both, pause_leader]
