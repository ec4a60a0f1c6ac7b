//! The embedded ZooKeeper against Apache ZooKeeper: the same random scripts on both, and the same answers from both.
//!
//! Needs Java and a directory with the jars of ZooKeeper 3.8 (Kafka's `libs` has them): `BARNABAS_KAFKA_LIBS`.
//! `BARNABAS_ZK_SEEDS=7..8` repeats script 7, `0..1000` looks further.

mod zk_raw;
mod zk_script;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use barnabas::zk::server::Server;

const DEFAULT_SEEDS: &str = "0..60";

/// A real server, started from its jars; ends with the test.
struct RealServer {
    process: Child,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl RealServer {
    fn start() -> Self {
        let libs = std::env::var_os("BARNABAS_KAFKA_LIBS").map(PathBuf::from).unwrap_or_default();
        let has_jar = std::fs::read_dir(&libs).is_ok_and(|dir| {
            dir.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("zookeeper-3.8"))
        });
        assert!(has_jar, "BARNABAS_KAFKA_LIBS must name a directory with the jars of ZooKeeper 3.8 (now: {libs:?})");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let config = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
             maxClientCnxns=0\n4lw.commands.whitelist=ruok\n",
            dir.path().display(),
            addr.port()
        );
        let config_path = dir.path().join("zoo.cfg");
        std::fs::write(&config_path, config).expect("the configuration can be written");
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let process = Command::new("java")
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no"])
            // Containers are swept by a timer: not while scripts run.
            .args(["-Dznode.container.checkIntervalMs=3600000"])
            .arg("-cp")
            .arg(libs.join("*"))
            .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
            .arg(&config_path)
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("java is installed");
        let mut server = Self { process, addr, _dir: dir };
        let start = Instant::now();
        let mut probe = loop {
            if let Ok(client) = zk_raw::Client::connect(addr, 4_000) {
                break client;
            }
            let ended = server.process.try_wait().expect("the process can be asked");
            assert!(ended.is_none(), "ZooKeeper ended: {}", server.log());
            assert!(start.elapsed() < Duration::from_secs(60), "ZooKeeper does not answer: {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        };
        // Its expiry would be a transaction in the middle of some script.
        probe.call(barnabas::zk::jute::op_code::CLOSE_SESSION, &zk_raw::Nothing).expect("a reply");
        server
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self._dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn random_scripts_are_answered_as_by_apache_zookeeper() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let embedded = runtime.block_on(Server::start("127.0.0.1:0")).expect("the embedded server starts");
    let real = RealServer::start();
    assert_eq!(zk_script::system_nodes(real.addr), zk_script::system_nodes(embedded.addr()));
    let seeds = std::env::var("BARNABAS_ZK_SEEDS").unwrap_or_else(|_| DEFAULT_SEEDS.to_owned());
    let (first, end) = seeds.split_once("..").expect("BARNABAS_ZK_SEEDS looks like 0..60");
    let seeds = first.parse::<u64>().expect("a number")..end.parse().expect("a number");
    for seed in seeds {
        let script = zk_script::generate(seed);
        let theirs = zk_script::run(real.addr, seed, &script);
        let ours = zk_script::run(embedded.addr(), seed, &script);
        for (index, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            let before = up_to(&script, index);
            assert_eq!(theirs, ours, "\nleft: Apache ZooKeeper, right: ours; seed {seed}, step {index} of:\n{before}");
        }
        if std::env::var_os("BARNABAS_ZK_PRINT").is_some() {
            println!("{}", theirs.join("\n"));
        }
    }
    runtime.block_on(embedded.shutdown());
}

fn up_to(script: &[zk_script::Action], index: usize) -> String {
    let lines = script.iter().enumerate().take(index + 1);
    lines.map(|(number, action)| format!("{number}: {action:?}\n")).collect()
}
