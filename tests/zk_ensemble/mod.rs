//! A ZooKeeper to test against, real or embedded, and a link to it that can be cut.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use barnabas::zk::server::{Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Length of a tick; sessions live from 2 to 20 of them.
pub const TICK_MS: i32 = 200;

/// Apache ZooKeeper in a JVM of its own, or the embedded server.
pub enum Ensemble {
    Real(RealServer),
    Embedded(Server),
}

impl Ensemble {
    pub async fn real() -> Self {
        Self::Real(RealServer::start().await)
    }

    pub async fn embedded() -> Self {
        let options = Options { tick_ms: TICK_MS, ..Options::default() };
        Self::Embedded(Server::start_with("127.0.0.1:0", options).await.expect("loopback has a free port"))
    }

    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Real(server) => server.addr,
            Self::Embedded(server) => server.addr(),
        }
    }

    pub async fn stop(self) {
        match self {
            Self::Real(server) => drop(server),
            Self::Embedded(server) => server.shutdown().await,
        }
    }
}

/// A single Apache ZooKeeper. Its files live as long as this value, its process until [`RealServer::kill`].
pub struct RealServer {
    addr: SocketAddr,
    dir: tempfile::TempDir,
    process: Option<Child>,
}

impl RealServer {
    pub async fn start() -> Self {
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut server = Self { addr, dir: tempfile::tempdir().unwrap(), process: None };
        server.run().await;
        server
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Starts the process, with whatever an earlier one left on disk.
    pub async fn run(&mut self) {
        let libs = std::env::var_os("BARNABAS_KAFKA_LIBS").map(PathBuf::from).unwrap_or_default();
        let has_jar = std::fs::read_dir(&libs).is_ok_and(|mut entries| {
            entries
                .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("zookeeper-3.")))
        });
        assert!(has_jar, "BARNABAS_KAFKA_LIBS must name a directory with the jars of ZooKeeper 3.8 (now: {libs:?})");
        let config = self.dir.path().join("zoo.cfg");
        let text = format!(
            "tickTime={TICK_MS}\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n",
            self.dir.path().display(),
            self.addr.port()
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let process = Command::new("java")
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(libs.join("*"))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("java is installed");
        self.process = Some(process);
        for _ in 0..300 {
            // A server that is just starting may take the question and never answer.
            if timeout(Duration::from_millis(500), self.serves()).await.unwrap_or(false) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("ZooKeeper did not start: {}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
    }

    async fn serves(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.addr).await else { return false };
        let mut text = String::new();
        // `srvr` is allowed by default.
        stream.write_all(b"srvr").await.is_ok()
            && stream.read_to_string(&mut text).await.is_ok()
            && text.contains("Mode: standalone")
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Open,
    /// Connections stay, nothing passes.
    Stalled,
    /// Connections are closed as they come.
    Cut,
}

/// A TCP link in front of a server.
pub struct Link {
    pub addr: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Link {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (mode, changes) = watch::channel(Mode::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut mode = changes.clone();
                tokio::spawn(async move {
                    if wait_open(&mut mode).await.is_none() {
                        return;
                    }
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    // The first to end takes the other with it, and so both sockets.
                    tokio::select! {
                        _ = carry(client_read, server_write, mode.clone()) => {}
                        _ = carry(server_read, client_write, mode) => {}
                    }
                });
            }
        });
        Self { addr, mode }
    }

    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    pub fn restore(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

/// Waits until the link is open; `None` if it is cut.
async fn wait_open(mode: &mut watch::Receiver<Mode>) -> Option<()> {
    let mode = mode.wait_for(|mode| *mode != Mode::Stalled).await.ok()?;
    (*mode == Mode::Open).then_some(())
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut mode: watch::Receiver<Mode>,
) -> Option<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        wait_open(&mut mode).await?;
        tokio::select! {
            _ = mode.changed() => {}
            read = from.read(&mut buffer) => match read.ok()? {
                0 => return None,
                length => {
                    wait_open(&mut mode).await?;
                    to.write_all(&buffer[..length]).await.ok()?;
                }
            },
        }
    }
}
