//! Child processes of the quickstart: started with a log file, watched, stopped by SIGTERM.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};

/// Time for a controlled shutdown before a child is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A running child.
pub struct Child {
    pub name: String,
    log: PathBuf,
    process: tokio::process::Child,
}

impl Child {
    /// Starts this binary with `arguments`.
    pub fn start(name: &str, directory: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("cannot find the path of this program")?;
        Self::start_program(name, directory, &binary, arguments)
    }

    /// Starts any program; its output goes to a file named after the child.
    pub fn start_program(name: &str, directory: &Path, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let log = directory.join(format!("{}.log", name.replace([' ', '(', ')'], "-").trim_end_matches('-')));
        let file = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C at the terminal is for the parent, which stops its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), log, process })
    }

    pub fn pid(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// An error with the end of the log if the child has ended.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.process.try_wait()? else { return Ok(()) };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(15)..].join("\n");
        bail!("{} ended with {status}; the end of {}:\n{end}", self.name, self.log.display())
    }

    /// Waits until something accepts connections on the port.
    pub async fn wait_until_listening(&mut self, port: u16) -> anyhow::Result<()> {
        for _ in 0..3000 {
            self.check_alive()?;
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("{} does not answer on port {port}; see {}", self.name, self.log.display())
    }

    /// SIGTERM, and SIGKILL if that does not help.
    pub async fn stop(mut self) {
        if let Some(pid) = self.process.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
            // An error means that it is gone already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP_PATIENCE, self.process.wait()).await.is_err() {
            eprintln!("{} did not stop within {STOP_PATIENCE:?}; killing it", self.name);
            let _ = self.process.kill().await;
        }
    }
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?.local_addr()?.port())
}
