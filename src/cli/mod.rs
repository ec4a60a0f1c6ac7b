//! The command line.

pub mod apis;
pub mod config;
pub mod diff;
pub mod dump_log;
pub mod logging;
pub mod quickstart;
pub mod rebuild;
pub mod server;
pub mod signal;
pub mod verify;
pub mod zk;
pub mod zookeeper;

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

/// A broker that takes the place of Apache Kafka in a ZooKeeper-coordinated cluster
#[derive(Debug, Parser)]
#[command(name = "barnabas", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start one broker from a Kafka server.properties
    Server(server::Options),
    /// Start the embedded ZooKeeper: one node, in memory, for development and tests
    Zookeeper(ZookeeperOptions),
    /// Start ZooKeeper and three brokers, and show that they work
    Quickstart(quickstart::Options),
    /// List the APIs and versions that a broker offers
    Apis,
    /// List and explain settings, check a server.properties
    #[command(subcommand)]
    Config(config::Command),
    /// Look at the znodes of a cluster
    #[command(subcommand)]
    Zk(zk::Command),
    /// Print files of a log directory as Kafka's kafka.tools.DumpLogSegments does
    DumpLog(dump_log::Options),
    /// Check log dirs or partitions: batches, indexes, snapshots, checkpoints; status 1 after a fault
    Verify(verify::Options),
    /// Compare two replicas of a partition, or of all partitions of two log dirs; status 1 if they diverge
    Diff(diff::Options),
    /// Replace wrong or missing indexes, snapshots and epochs of a stopped broker's logs
    Rebuild(rebuild::Options),
    /// Print a generated page of docs/
    Docs {
        #[arg(value_enum)]
        page: Page,
    },
}

#[derive(Debug, clap::Args)]
struct ZookeeperOptions {
    /// Address to listen on; anybody who reaches it may change everything
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Port to listen on; 0 lets the system choose, the address is printed
    #[arg(long, default_value_t = 2181)]
    port: u16,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Page {
    Config,
    Metrics,
}

/// Runs the program; the status is 0, 1 after an error, 2 after wrong arguments.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Server(options) => server::run(options),
        Command::Zookeeper(options) => small_runtime().and_then(|runtime| runtime.block_on(zookeeper(options))),
        Command::Quickstart(options) => small_runtime().and_then(|runtime| runtime.block_on(quickstart::run(options))),
        Command::Apis => print(&apis::page()),
        Command::Config(command) => config::run(command),
        Command::Zk(command) => small_runtime().and_then(|runtime| runtime.block_on(zk::run(command))),
        Command::DumpLog(options) => dump_log::run(options),
        Command::Verify(options) => verify::run(options),
        Command::Diff(options) => diff::run(options),
        Command::Rebuild(options) => rebuild::run(options),
        Command::Docs { page: Page::Config } => print(&crate::config::docs::page()),
        Command::Docs { page: Page::Metrics } => print(&crate::metrics::docs::page()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("barnabas: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line; a cause that the text before it has named already is left out.
fn explain(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

async fn zookeeper(options: ZookeeperOptions) -> anyhow::Result<()> {
    eprintln!(
        "The embedded ZooKeeper keeps everything in the memory of this process: it is neither replicated nor durable. For \
         anything that matters run a real ensemble."
    );
    let address = SocketAddr::from((options.bind, options.port));
    let served = zookeeper::run(options.bind, options.port, Default::default()).await;
    served.with_context(|| format!("cannot serve on {address}"))
}

fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Writes to standard output; a reader that has gone away, as `head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_make_sense() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn causes_are_told_once() {
        let inner = anyhow::anyhow!("port 1: in use").context("port 1: in use").context("cannot listen");
        assert_eq!(super::explain(&inner), "cannot listen: port 1: in use");
    }
}
