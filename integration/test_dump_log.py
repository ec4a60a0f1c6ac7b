"""`barnabas dump-log` beside Kafka's own `kafka.tools.DumpLogSegments`: on the golden directories, on ones with flipped bits,
cuts and zero tails, and on a directory that our broker wrote."""

import random
import shutil
import subprocess

import pytest

from harness import BINARY, ROOT, Cluster, libs, run, tool

GOLDEN = ROOT / "tests" / "golden" / "log"
KINDS = ("log", "index", "timeindex", "snapshot", "txnindex")
DEEP = ("--deep-iteration", "--print-data-log")

# Runs the tool many times in one Java process: each command line of standard input, its output and status between marks.
MANY = """
import java.io.*;
import java.nio.charset.StandardCharsets;
public class Many {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream real = System.out;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
            String[] command = line.split(" ");
            int status = 0;
            PrintStream to = new PrintStream(out, true, "UTF-8");
            System.setOut(to);
            System.setErr(new PrintStream(err, true, "UTF-8"));
            try {
                scala.Console.withOut(to, () -> { kafka.tools.DumpLogSegments.main(command); return null; });
            } catch (Throwable error) {
                status = 1;
            }
            to.flush();
            real.println(status + " " + out.size() + " " + err.size());
            real.write(out.toByteArray());
            real.write(err.toByteArray());
            real.flush();
        }
    }
}
"""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Kafka's tool: from a list of command lines to a list of (status, standard output, standard error)."""
    directory = tmp_path_factory.mktemp("many")
    (directory / "Many.java").write_text(MANY)
    (directory / "log4j.properties").write_text("log4j.rootLogger=OFF\n")
    classpath = f"{directory}:{libs('39')}/*"
    run("javac", "-cp", classpath, "-d", directory, directory / "Many.java")

    def dump(commands, cwd):
        done = subprocess.run(
            ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", classpath, "Many"], cwd=cwd,
            input="".join(" ".join(map(str, command)) + "\n" for command in commands).encode(), capture_output=True, check=True,
        ).stdout
        results = []
        while done:
            head, done = done.split(b"\n", 1)
            status, out, err = map(int, head.split())
            results.append((status, done[:out], done[out:out + err]))
            done = done[out + err:]
        return results

    return dump


def ours(command, cwd):
    done = subprocess.run([BINARY, "dump-log", *map(str, command)], cwd=cwd, capture_output=True)
    err = b"".join(line for line in done.stderr.splitlines(True) if not line.startswith(b"barnabas: "))
    return done.returncode, done.stdout, err


def files(directory):
    return sorted(path for path in directory.rglob("*") if path.suffix[1:] in KINDS)


def compare(kafka, commands, cwd, prefix_is_enough=False):
    for command, real in zip(commands, kafka(commands, cwd), strict=True):
        mine = ours(command, cwd)
        if prefix_is_enough and real[0] == 1 == mine[0]:
            # A codec tells sooner or later than Java's that its stream is broken.
            shorter = min(len(real[1]), len(mine[1]))
            assert real[1][:shorter] == mine[1][:shorter], command
        elif b"failed schema validation" in real[2]:
            assert (*mine[:2], b"failed schema validation" in mine[2]) == (*real[:2], True), command
        else:
            assert mine == real, command


def test_golden_directories_with_every_option(kafka):
    commands = []
    for group in sorted(path for path in GOLDEN.iterdir() if path.is_dir()):
        for partition in sorted(path for path in group.iterdir() if path.is_dir()):
            names = ",".join(str(path.relative_to(GOLDEN)) for path in files(partition))
            for options in (
                (), DEEP, ("--verify-index-only",), ("--index-sanity-check",), ("--print-data-log", "--skip-record-metadata"),
                ("--max-bytes", "1000"),
            ):
                commands.append((*options, "--files", names))
            if partition.name.startswith("__consumer_offsets"):
                commands.append(("--offsets-decoder", "--files", names))
            if partition.name.startswith("__transaction_state"):
                commands.append(("--transaction-log-decoder", "--files", names))
    compare(kafka, commands, GOLDEN)


def test_broken_files(kafka, tmp_path):
    chance = random.Random(7)
    commands = []
    for n in range(400):
        source = chance.choice(("v2-3.9.1", "v2-3.9.1", "v0v1-on-3.9.1", "broker-0.8.2.2"))
        partitions = [path for path in (GOLDEN / source).iterdir() if path.is_dir() and files(path)]
        partition = chance.choice(sorted(partitions))
        copy = tmp_path / str(n) / partition.name
        shutil.copytree(partition, copy)
        broken = chance.choice(files(copy))
        content = bytearray(broken.read_bytes())
        how = chance.choice(("flip", "flip", "flip", "cut", "zeros"))
        if how == "flip" and content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif how == "cut":
            del content[chance.randrange(len(content) + 1):]
        else:
            content += bytes(chance.choice((8, 12, 96, 4096)))
        broken.write_bytes(content)
        options = chance.choice((DEEP, DEEP, (), ("--verify-index-only",), ("--index-sanity-check",)))
        commands += [(*options, "--files", path.relative_to(tmp_path)) for path in files(copy)]
    compare(kafka, commands, tmp_path, prefix_is_enough=True)


def test_what_our_broker_wrote(kafka):
    with Cluster(("barnabas",), settings={"offsets.topic.replication.factor": 1}) as cluster:
        tool("39", "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", cluster.bootstrap, "--create", "--topic", "t",
             "--partitions", "2", "--replication-factor", "1", "--config", "segment.bytes=20000", "--config", "index.interval.bytes=500")
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            tool("39", "org.apache.kafka.tools.ProducerPerformance", "--topic", "t", "--num-records", "500", "--record-size", "100",
                 "--throughput", "-1", "--producer-props", f"bootstrap.servers={cluster.bootstrap}", "batch.size=2000",
                 f"compression.type={codec}")
        tool("39", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", cluster.bootstrap, "--topic", "t",
             "--from-beginning", "--max-messages", "10", "--group", "g")
        broker = cluster.brokers[0]
        broker.stop()
        data = next(path.parent for path in broker.directory.rglob("meta.properties"))
        every = files(data)
        assert len(every) > 20
        commands = [(*options, "--files", ",".join(str(path.relative_to(data)) for path in every))
                    for options in (DEEP, ("--index-sanity-check",))]
        offsets = [path for path in every if path.parent.name.startswith("__consumer_offsets") and path.stat().st_size]
        commands += [("--offsets-decoder", "--files", path.relative_to(data)) for path in offsets if path.suffix == ".log"]
        compare(kafka, commands, data)
        assert all(b"Mismatches" not in result[2] and result[0] == 0 for result in kafka(commands, data))
        run(BINARY, "verify", "--deep", data)
