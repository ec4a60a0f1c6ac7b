"""`barnabas server` as an operator meets it: refusals, signals, crashes, identities, locks, metrics."""

import pathlib
import re
import signal
import time
import urllib.request

import pytest

from harness import BINARY, Broker, Process, ZooKeeper, run, wait_until
from history import create_topic

SESSION_TIMEOUT_MS = 2000
CLEAN = ".kafka_cleanshutdown"


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory):
    zookeeper = ZooKeeper(tmp_path_factory.mktemp("zookeeper")).start()
    yield zookeeper
    zookeeper.stop()


@pytest.fixture
def broker(zookeeper, tmp_path):
    """Makes brokers of this test's own cluster, a chroot; `home` names the directory."""
    made = []

    def broker(id=0, home="broker", **settings):
        chroot = re.sub(r"\W", "-", tmp_path.name)
        new = Broker("barnabas", id, f"{zookeeper.connect}/{chroot}", tmp_path / home, {
            "zookeeper.session.timeout.ms": SESSION_TIMEOUT_MS, "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1, "controlled.shutdown.retry.backoff.ms": 100,
            **{key.replace("_", "."): value for key, value in settings.items()},
        })
        made.append(new)
        return new

    yield broker
    for each in made:
        each.kill()


def data(broker):
    return pathlib.Path(broker.settings["log.dirs"])


def produce(broker, text):
    run("kcat", "-b", broker.address, "-P", "-t", "t", "-p", 0, "-X", "acks=all", stdin=text)


def consume(broker):
    """All records. A broker that has just started, Kafka's too, knows no topics until the controller has told it."""
    read = ["kcat", "-b", broker.address, "-C", "-t", "t", "-o", "beginning", "-e", "-q"]
    return wait_until(lambda: "ERROR" not in (text := run(*read, check=False)) and text, 20, "records")


# Settings.

@pytest.mark.parametrize("line, words", [
    ("num.network.threads=many", ["num.network.threads", "Invalid value many", "Not a number"]),
    ("num.network.threads=0", ["num.network.threads", "at least 1"]),
    ("broker.id=one", ["Invalid value one for configuration broker.id"]),
    ("authorizer.class.name=kafka.security.authorizer.AclAuthorizer",
     ["authorizer.class.name", "not supported yet", "weaken security", "Remove the line"]),
    ("listeners=SSL://127.0.0.1:0", ["listeners", "SSL, which is not supported", "Give the broker PLAINTEXT listeners only"]),
    ("listeners=SASL_PLAINTEXT://127.0.0.1:0", ["listeners", "SASL_PLAINTEXT, which is not supported"]),
    ("security.inter.broker.protocol=SSL", ["security.inter.broker.protocol", "The valid options", "PLAINTEXT"]),
    ("ssl.keystore.location=/keys", ["ssl.keystore.location", "not supported yet", "Remove the line"]),
    ("sasl.enabled.mechanisms=PLAIN", ["sasl.enabled.mechanisms", "not supported yet", "Remove the line"]),
    ("zookeeper.set.acl=true", ["zookeeper.set.acl", "not supported yet", "Remove the line"]),
    ("process.roles=broker", ["process.roles", "not supported yet"]),
    ("inter.broker.protocol.version=2.0", ["inter.broker.protocol.version", "First bring the cluster"]),
])
def test_a_setting_that_cannot_be_used_is_refused_with_its_place(tmp_path, line, words):
    file = tmp_path / "server.properties"
    file.write_text(f"# One broker\nzookeeper.connect=127.0.0.1:1\n{line}\n")
    place = f"{file}:3: "
    for command in [("server", file), ("config", "check", file)]:
        status, printed = run_to_end(tmp_path, *command)
        assert status == 1, printed
        problems = [l for l in printed.splitlines() if place in l]
        assert problems, printed
        assert all(word in problems[0] for word in words), printed
    status, printed = run_to_end(tmp_path, "server", tmp_path / "server.properties", "--override", line)
    assert status == 1 and line.split("=")[0] in printed and "--override" in printed, printed


def test_a_missing_file_and_a_missing_key_are_named(tmp_path):
    status, printed = run_to_end(tmp_path, "server", tmp_path / "nowhere.properties")
    assert status == 1 and "nowhere.properties" in printed and "Give the path" in printed, printed
    (tmp_path / "empty.properties").write_text("")
    status, printed = run_to_end(tmp_path, "server", tmp_path / "empty.properties")
    assert status == 1 and "zookeeper.connect" in printed and "host:port" in printed, printed


def run_to_end(directory, *arguments, timeout_s=30):
    process = Process("barnabas", [BINARY, *arguments], directory / "out")
    status = process.start().child.wait(timeout_s)
    return status, process.log()


def test_what_is_not_honoured_is_said_in_one_line(broker):
    one = broker(controller_quota_window_num=12, background_threads=11, my_own_key=1).start()
    warnings = [line for line in one.log().splitlines() if "known but have no effect" in line]
    assert len(warnings) == 1 and " WARN " in warnings[0], one.log()
    assert "controller.quota.window.num" in warnings[0] and "background.threads" in warnings[0], warnings
    unknown = [line for line in one.log().splitlines() if "not known" in line]
    assert len(unknown) == 1 and "my.own.key" in unknown[0], one.log()


# Going down and coming up.

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(broker, number):
    one = broker().start()
    create_topic(one.address, "t", replication=1)
    produce(one, "a\nb\n")
    assert not (data(one) / CLEAN).exists()
    one.signal(number)
    assert one.child.wait(20) == 0, one.log()
    assert "Controlled shutdown request returned successfully" in one.log()
    assert "shut down completed" in one.log()
    assert (data(one) / CLEAN).exists()
    one.start()
    assert re.search("loading logs .*clean=true", one.log()), one.log()
    assert "recovery cut" not in one.log() and "waiting up to" not in one.log(), one.log()
    assert not (data(one) / CLEAN).exists()
    assert consume(one) == "a\nb\n"


def test_a_controlled_shutdown_hands_leaderships_over(broker):
    brokers = [broker(id=n, home=f"broker{n}").start() for n in range(2)]
    create_topic(brokers[0].address, "t", replication=2)
    produce(brokers[0], "a\n")
    leader = int(re.search(r"partition 0, leader (\d)", run("kcat", "-b", brokers[0].address, "-L", "-t", "t"))[1])
    assert brokers[leader].stop() == 0
    # If the one that stopped was controller as well, the other hears of its leadership when it has become controller.
    def other_leads():
        listed = run("kcat", "-b", brokers[1 - leader].address, "-L", "-t", "t")
        return f"partition 0, leader {1 - leader}, replicas:" in listed and f"isrs: {1 - leader}\n" in listed
    wait_until(other_leads, 10, "the other broker to lead")
    produce(brokers[1 - leader], "b\n")
    assert consume(brokers[1 - leader]) == "a\nb\n"


def test_a_signal_during_the_start_ends_it_too(tmp_path):
    one = Broker("barnabas", 0, "127.0.0.1:1", tmp_path).start(wait=False).wait_for("Connecting to ZooKeeper")
    assert one.stop(10) == 0, one.log()


def test_an_unreachable_zookeeper_is_named(tmp_path):
    settings = {"zookeeper.connection.timeout.ms": 500}
    one = Broker("barnabas", 0, "127.0.0.1:1", tmp_path, settings).start(wait=False)
    assert one.child.wait(20) == 1, one.log()
    last = one.log().splitlines()[-1]
    assert last.count("127.0.0.1:1") == 1 and "zookeeper.connect" in last, one.log()


def test_a_port_in_use_is_named(broker):
    one = broker(id=1).start()
    for id, settings, name in [(2, {"listeners": f"PLAINTEXT://{one.address}"}, f"PLAINTEXT://{one.address}"),
                               (3, {"barnabas_metrics_listener": one.address}, "barnabas.metrics.listener=")]:
        other = broker(id=id, home=f"other{id}", **settings).start(wait=False)
        assert other.child.wait(20) == 1
        last = other.log().splitlines()[-1]
        assert name in last and last.count("Address already in use") == 1, other.log()


def test_after_a_kill_it_waits_for_its_own_session_and_cuts_a_torn_tail(broker):
    one = broker().start()
    create_topic(one.address, "t", replication=1)
    produce(one, "a\nb\n")
    one.kill()
    segment = data(one) / "t-0" / f"{0:020}.log"
    whole = segment.read_bytes()
    # A batch of which only the first half reached the disk, as a power cut leaves it.
    segment.write_bytes(whole + whole[: len(whole) // 2])
    one.start()
    assert "waiting up to" in one.log(), one.log()
    assert re.search("loading logs .*clean=false", one.log()), one.log()
    assert segment.read_bytes() == whole
    assert consume(one) == "a\nb\n"
    produce(one, "c\n")
    assert consume(one) == "a\nb\nc\n"


# Identity.

def test_an_id_in_use_is_refused_after_the_session_timeout(broker):
    broker(id=7).start()
    second = broker(id=7, home="second")
    started = time.monotonic()
    second.start(wait=False)
    assert second.child.wait(30) == 1
    took_s = time.monotonic() - started
    assert took_s >= SESSION_TIMEOUT_MS / 1000 + 1.9, took_s
    last = second.log().splitlines()[-1]
    assert "broker id 7 is taken: /brokers/ids/7" in last, second.log()


def test_an_id_is_generated_and_kept(broker, zookeeper):
    one = broker(id=-1).start()
    assert "broker.id=1001\n" in (data(one) / "meta.properties").read_text()
    inspected = run(BINARY, "zk", "inspect", "--zookeeper", one.settings["zookeeper.connect"])
    assert re.search("^/brokers/ids/1001 ", inspected, re.MULTILINE), inspected
    assert one.stop() == 0
    one.start()
    assert "broker.id=1001\n" in (data(one) / "meta.properties").read_text()
    assert "id=1001" in one.log(), one.log()
    assert one.stop() == 0
    other = broker(id=5).start(wait=False)
    assert other.child.wait(20) == 1
    last = other.log().splitlines()[-1]
    assert "broker.id is 5" in last and "1001" in last and "meta.properties" in last, other.log()


def test_log_dirs_belong_to_one_process(broker):
    first = broker(id=1).start()
    second = broker(id=2, home="second", log_dirs=data(first)).start(wait=False)
    assert second.child.wait(20) == 1
    last = second.log().splitlines()[-1]
    assert str(data(first)) in last and ".lock" in last and "another process" in last, second.log()
    first.kill()
    # The lock goes with its process.
    third = broker(id=1).start()
    assert third.alive()


# Metrics.

def scrape(broker):
    address = re.search(r"Metrics are served at /metrics address=(\S+)", broker.log())[1]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def scraped(cluster, kinds):
    if set(kinds) != {"barnabas"}:
        pytest.skip("Kafka's metrics need an exporter")
    create_topic(cluster.bootstrap, "scraped", partitions=3)
    run("kcat", "-b", cluster.bootstrap, "-P", "-t", "scraped", stdin="x\n" * 30)
    return cluster.brokers


def test_one_broker_says_that_it_is_the_controller(scraped):
    name = "kafka_controller_kafkacontroller_activecontrollercount"
    assert sorted(float(scrape(broker)[name]) for broker in scraped) == [0, 0, 1]


def test_the_metrics_have_the_names_of_kafkas(scraped):
    for broker in scraped:
        values = scrape(broker)
        for name in ["kafka_controller_kafkacontroller_offlinepartitionscount",
                     "kafka_server_replicamanager_underreplicatedpartitions",
                     "kafka_server_replicamanager_underminisrpartitioncount",
                     "kafka_server_replicamanager_partitioncount",
                     "kafka_server_replicamanager_leadercount"]:
            assert name in values, sorted(values)
        assert float(values["kafka_server_replicamanager_partitioncount"]) >= 3
        assert any(name.startswith("kafka_server_brokertopicmetrics_") for name in values), sorted(values)
        assert any(name.startswith("kafka_network_requestmetrics_") for name in values), sorted(values)
        assert any(name.startswith("process_") for name in values), sorted(values)
    leaders = sum(float(scrape(b)["kafka_server_replicamanager_leadercount"]) for b in scraped)
    assert leaders >= 3
