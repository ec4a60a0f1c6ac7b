"""Kazoo, the Python client of ZooKeeper, against a server: python kazoo_check.py HOST:PORT

Uses what kazoo's users use: nodes, versions, transactions, watches, recipes, ACLs, reconnection. Ends with 0 if all
of it works.
"""

import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, NoNodeError, NotEmptyError
from kazoo.recipe.watchers import ChildrenWatch, DataWatch
from kazoo.security import make_digest_acl

WAIT = 10


def raises(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{error.__name__} expected")


def connect(hosts, **options):
    client = KazooClient(hosts=hosts, timeout=6, **options)
    client.start(timeout=WAIT)
    return client


def nodes(zk):
    assert zk.server_version() >= (3, 8, 0), zk.server_version()
    assert set(zk.get_children("/zookeeper")) == {"config", "quota"}
    assert zk.create("/k/a/b", b"1", makepath=True) == "/k/a/b"
    raises(NodeExistsError, zk.create, "/k/a/b")
    raises(NoNodeError, zk.get, "/k/none")
    raises(NotEmptyError, zk.delete, "/k/a")
    data, stat = zk.get("/k/a/b")
    assert (data, stat.version, stat.numChildren) == (b"1", 0, 0)
    assert zk.set("/k/a/b", b"22", version=0).version == 1
    raises(BadVersionError, zk.set, "/k/a/b", b"3", version=0)
    path, stat = zk.create("/k/a/two", b"2", include_data=True)
    assert (path, stat.dataLength) == ("/k/a/two", 1)
    names = [zk.create("/k/s-", sequence=True) for _ in range(3)]
    assert names == [f"/k/s-{number:010}" for number in (1, 2, 3)], names
    zk.create("/k/e", ephemeral=True)
    assert zk.exists("/k/e").ephemeralOwner == zk.client_id[0]
    assert zk.sync("/k") == "/k"


def transactions(zk):
    good = zk.transaction()
    good.check("/k/a/b", version=1)
    good.create("/k/t", b"x")
    good.set_data("/k/t", b"y")
    good.delete("/k/a/two")
    results = good.commit()
    assert results[0] is True and results[1] == "/k/t" and results[2].version == 1 and results[3] is True, results
    bad = zk.transaction()
    bad.create("/k/t2")
    bad.check("/k/a/b", version=7)
    bad.delete("/k/t")
    names = [type(result).__name__ for result in bad.commit()]
    assert names == ["RolledBackError", "BadVersionError", "RuntimeInconsistency"], names
    assert zk.exists("/k/t2") is None


def watches(zk, other):
    seen, changed = [], threading.Condition()

    def note(*what):
        with changed:
            seen.append(what)
            changed.notify_all()

    def wait_for(what):
        with changed:
            assert changed.wait_for(lambda: what in seen, WAIT), (what, seen)

    DataWatch(zk, "/k/w", lambda data, stat: note("data", data))
    other.create("/k/w", b"1")
    wait_for(("data", b"1"))
    other.set("/k/w", b"2")
    wait_for(("data", b"2"))
    ChildrenWatch(zk, "/k/w", lambda children: note("children", *sorted(children)))
    other.create("/k/w/x")
    wait_for(("children", "x"))
    other.delete("/k/w", recursive=True)
    wait_for(("data", None))


def sessions(zk, hosts):
    owner = connect(hosts)
    owner.create("/k/owned", ephemeral=True)
    gone = threading.Event()
    zk.exists("/k/owned", watch=lambda event: gone.set())
    owner.stop()
    assert gone.wait(WAIT)

    lost, back = threading.Event(), threading.Event()

    def listen(state):
        (lost if state == KazooState.SUSPENDED else back).set()

    survivor = connect(hosts)
    survivor.create("/k/kept", ephemeral=True)
    session = survivor.client_id[0]
    survivor.add_listener(listen)
    survivor._connection._socket.shutdown(2)
    assert lost.wait(WAIT) and back.wait(WAIT)
    assert survivor.client_id[0] == session and survivor.exists("/k/kept")
    survivor.stop()


def recipes(zk, other):
    lock = zk.Lock("/k/lock", "one")
    assert lock.acquire(timeout=WAIT)
    assert not other.Lock("/k/lock", "two").acquire(blocking=False)
    lock.release()
    counter = zk.Counter("/k/counter")
    counter += 3
    assert other.Counter("/k/counter").value == 3
    queue = zk.Queue("/k/queue")
    queue.put(b"first")
    queue.put(b"second")
    assert other.Queue("/k/queue").get() == b"first"
    leader = threading.Event()
    threading.Thread(target=zk.Election("/k/election", "me").run, args=[leader.set], daemon=True).start()
    assert leader.wait(WAIT)


def lists(zk, hosts):
    zk.create("/k/secret", b"s", acl=[make_digest_acl("ann", "secret", all=True)])
    raises(NoAuthError, zk.get, "/k/secret")
    ann = connect(hosts, auth_data=[("digest", "ann:secret")])
    assert ann.get("/k/secret")[0] == b"s"
    acl, stat = ann.get_acls("/k/secret")
    assert acl[0].id.scheme == "digest" and acl[0].id.id.startswith("ann:") and stat.aversion == 0
    ann.set_acls("/k/secret", [make_digest_acl("ann", "secret", read=True)])
    raises(NoAuthError, ann.set, "/k/secret", b"t")
    ann.stop()
    # Who may delete a node is the parent's matter.
    zk.delete("/k/secret")


def words(zk):
    assert zk.command(b"ruok") == "imok"
    assert "zk_znode_count" in zk.command(b"mntr")


def main():
    hosts = sys.argv[1]
    zk, other = connect(hosts), connect(hosts)
    nodes(zk)
    transactions(zk)
    watches(zk, other)
    sessions(zk, hosts)
    recipes(zk, other)
    lists(zk, hosts)
    words(zk)
    zk.delete("/k", recursive=True)
    zk.stop()
    other.stop()
    print("kazoo: ok")


main()
