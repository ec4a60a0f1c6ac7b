"""Clusters of real processes for the integration tests: ZooKeeper (Apache's or ours), brokers (ours or Apache Kafka's),
and the command line tools of real Kafka releases. Everything listens on loopback, on ports given by the system."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("BARNABAS_CACHE", pathlib.Path.home() / ".cache" / "barnabas"))
BINARY = pathlib.Path(os.environ.get("BARNABAS_BIN", ROOT / "target" / "release" / "barnabas"))

TOOL_LOG = """log4j.rootLogger=WARN, e
log4j.appender.e=org.apache.log4j.ConsoleAppender
log4j.appender.e.target=System.err
log4j.appender.e.layout=org.apache.log4j.PatternLayout
log4j.appender.e.layout.ConversionPattern=[%d] %p %m (%c)%n
"""
KAFKA_LOG = """log4j.rootLogger=INFO, f
log4j.appender.f=org.apache.log4j.ConsoleAppender
log4j.appender.f.layout=org.apache.log4j.PatternLayout
log4j.appender.f.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.logger.state.change.logger=INFO
"""


def libs(release):
    """Directory of the jars of a Kafka release: "39", "28", "010" or "08"."""
    directory = CACHE / f"kafka-{release}" / "lib"
    if not directory.is_dir():
        raise RuntimeError(f"{directory} is missing: run scripts/install-test-tools")
    return directory


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, timeout_s, what):
    """Polls an outside process until `condition` returns something true; returns that."""
    end = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s} s for: {what}")
        time.sleep(0.02)


class Process:
    """A child process whose output goes to a file."""

    def __init__(self, name, command, directory, env=None):
        self.name, self.command = name, [str(c) for c in command]
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / "log"
        self.env = {**os.environ, **(env or {})}
        self.child = None

    def start(self):
        self.mark = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT,
                                          stdin=subprocess.DEVNULL, env=self.env)
        return self

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def log(self):
        """What this life of the process has printed."""
        with open(self.log_path, "rb") as f:
            f.seek(self.mark)
            return f.read().decode(errors="replace")

    def wait_for(self, pattern, timeout_s=60):
        def seen():
            if re.search(pattern, self.log()):
                return True
            if not self.alive():
                raise RuntimeError(f"{self.name} ended with {self.child.poll()}:\n{self.log()[-3000:]}")
        wait_until(seen, timeout_s, f"{pattern!r} in the log of {self.name} ({self.log_path})")
        return self

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        """kill -9."""
        if self.alive():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        if self.child:
            self.child.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def stop(self, timeout_s=60):
        """SIGTERM; returns the exit status."""
        if self.alive():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        return self.child.wait(timeout_s)


def java(heap_mb, log4j, release, *command):
    return ["java", f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC" if heap_mb <= 256 else "-XX:+UseG1GC",
            f"-Dlog4j.configuration=file:{log4j}", "-cp", f"{libs(release)}/*", *command]


def answers_ruok(port):
    with contextlib.suppress(OSError):
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.sendall(b"ruok")
            s.settimeout(1)
            return s.recv(4) == b"imok"
    return False


class ZooKeeper:
    """An ensemble of 1 or 3 real Apache ZooKeeper servers, or our embedded one."""

    def __init__(self, directory, servers=1, embedded=False):
        self.directory = pathlib.Path(directory)
        self.ports = [free_port() for _ in range(servers)]
        self.servers = []
        if embedded:
            assert servers == 1
            command = [BINARY, "zookeeper", "--port", self.ports[0]]
            self.servers = [Process("embedded zookeeper", command, self.directory / "zk1")]
            return
        quorum = [(free_port(), free_port()) for _ in range(servers)]
        for n, port in enumerate(self.ports, 1):
            home = self.directory / f"zk{n}"
            (home / "data").mkdir(parents=True, exist_ok=True)
            (home / "data" / "myid").write_text(str(n))
            lines = ["tickTime=500", f"dataDir={home}/data", f"clientPort={port}", "clientPortAddress=127.0.0.1",
                     "admin.enableServer=false", "4lw.commands.whitelist=*", "maxClientCnxns=0",
                     "minSessionTimeout=1000", "maxSessionTimeout=60000", "initLimit=20", "syncLimit=10"]
            if servers > 1:
                lines += [f"server.{i}=127.0.0.1:{a}:{b}" for i, (a, b) in enumerate(quorum, 1)]
            (home / "zoo.cfg").write_text("\n".join(lines) + "\n")
            (home / "log4j.properties").write_text(TOOL_LOG)
            command = java(128, home / "log4j.properties", "39",
                           "org.apache.zookeeper.server.quorum.QuorumPeerMain", home / "zoo.cfg")
            self.servers.append(Process(f"zookeeper {n}", command, home))

    @property
    def connect(self):
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def start(self):
        for server in self.servers:
            server.start()
        for server, port in zip(self.servers, self.ports):
            wait_until(lambda: answers_ruok(port), 60, f"{server.name} to answer on port {port}")
        return self

    def stop(self):
        for server in self.servers:
            server.kill()


class Broker(Process):
    """One broker: `kind` is "barnabas" or "kafka" (Apache Kafka 3.9.1); both get the same server.properties."""

    def __init__(self, kind, id, zookeeper_connect, directory, settings=None):
        self.kind, self.id, self.port = kind, id, free_port()
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.settings = {
            "broker.id": id, "listeners": f"PLAINTEXT://127.0.0.1:{self.port}", "zookeeper.connect": zookeeper_connect,
            "log.dirs": directory / "data", "zookeeper.session.timeout.ms": 6000, "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4, "default.replication.factor": 3, "num.partitions": 1,
            **(settings or {}),
        }
        file = directory / "server.properties"
        file.write_text("".join(f"{k}={v}\n" for k, v in self.settings.items()))
        if kind == "kafka":
            (directory / "log4j.properties").write_text(KAFKA_LOG)
            command = java(512, directory / "log4j.properties", "39", "kafka.Kafka", file)
            self.ready = r"started \(kafka.server.KafkaServer\)"
        else:
            command = [BINARY, "server", file]
            self.ready = r"\bstarted\b"
        super().__init__(f"{kind} broker {id}", command, directory)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, wait=True):
        super().start()
        if wait:
            self.wait_for(self.ready)
        return self


class Cluster:
    """ZooKeeper and brokers in a temporary directory; use as a context manager."""

    def __init__(self, kinds=("barnabas",) * 3, zookeepers=1, embedded=False, settings=None, chroot=""):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="barnabas-"))
        self.zookeeper = ZooKeeper(self.directory, zookeepers, embedded)
        self.connect = self.zookeeper.connect + chroot
        self.brokers = [Broker(kind, n, self.connect, self.directory / f"broker{n}", settings)
                        for n, kind in enumerate(kinds)]

    @property
    def bootstrap(self):
        return ",".join(b.address for b in self.brokers)

    def __enter__(self):
        try:
            self.zookeeper.start()
            for broker in self.brokers:
                broker.start(wait=False)
            for broker in self.brokers:
                broker.wait_for(broker.ready)
        except BaseException:
            self.close(keep=True)
            raise
        return self

    def __exit__(self, kind, *_):
        self.close(keep=kind is not None)

    def close(self, keep=False):
        for broker in self.brokers:
            broker.kill()
        self.zookeeper.stop()
        if keep:
            print(f"the cluster's files stay in {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def zk(self):
        """A kazoo client on the cluster's ZooKeeper."""
        from kazoo.client import KazooClient
        client = KazooClient(hosts=self.connect, timeout=10)
        client.start(30)
        return client

    def controller_id(self):
        import json
        from kazoo.exceptions import NoNodeError
        client = self.zk()
        try:
            return json.loads(client.get("/controller")[0])["brokerid"]
        except NoNodeError:
            return None
        finally:
            client.stop()
            client.close()

    def partition_state(self, topic, partition):
        import json
        client = self.zk()
        try:
            return json.loads(client.get(f"/brokers/topics/{topic}/partitions/{partition}/state")[0])
        finally:
            client.stop()
            client.close()


def tool(release, main_class, *args, stdin=None, timeout_s=120, check=True):
    """Runs a command line class of a real Kafka release; returns what it printed."""
    log4j = CACHE / "tools-log4j.properties"
    if not log4j.exists():
        log4j.write_text(TOOL_LOG)
    done = subprocess.run(java(256, log4j, release, main_class, *map(str, args)), input=stdin, timeout=timeout_s,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{main_class} {args} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def run(*command, stdin=None, timeout_s=120, check=True, cwd=None, env=None):
    done = subprocess.run([str(c) for c in command], input=stdin, timeout=timeout_s, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, cwd=cwd, env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout
