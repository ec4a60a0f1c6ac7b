//! `barnabas quickstart`: ZooKeeper and three brokers, a topic, records there and back; then three things to try.
//!
//! Each broker and each ZooKeeper is a process of its own, so that any of them can be killed. By default the
//! ZooKeeper is the embedded one of this binary; `--zookeeper` takes a running ensemble, `--ensemble` starts three
//! real Apache servers.

mod demo;
mod ensemble;
mod process;

use std::path::PathBuf;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use process::{Child, free_port};

const BROKERS: usize = 3;
const TOPIC: &str = "quickstart";
/// Where people expect the first broker of a cluster.
const FIRST_PORT: u16 = 9092;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Use a running ensemble: HOST:PORT,...[/chroot]
    #[arg(long, value_name = "CONNECT", conflicts_with = "ensemble")]
    zookeeper: Option<String>,
    /// Start a real three-node Apache ZooKeeper (Debian's package `zookeeper`, or the jars in --zookeeper-libs)
    #[arg(long)]
    ensemble: bool,
    /// Directory with zookeeper-*.jar and the jars it needs, for --ensemble
    #[arg(long, value_name = "DIR", env = "BARNABAS_KAFKA_LIBS")]
    zookeeper_libs: Option<PathBuf>,
    /// Keep data and logs here instead of in a new directory under the system's temporary one
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// End after the demonstration; status 0 only if every record came back
    #[arg(long)]
    once: bool,
}

/// Runs the command; an error is what went wrong in words.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let directory = directory(&options)?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut children = Vec::new();
    let result = tokio::select! {
        result = start_and_show(&options, &directory, &mut children) => result,
        _ = interrupted.recv() => Err(anyhow::anyhow!("interrupted before the demonstration was over")),
        _ = terminated.recv() => Err(anyhow::anyhow!("ended before the demonstration was over")),
    };
    if result.is_ok() && !options.once {
        println!("\nThe cluster stays up until Ctrl-C.");
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
        println!("\nStopping.");
    }
    // Brokers first: a controlled shutdown needs the controller and ZooKeeper.
    while let Some(child) = children.pop() {
        child.stop().await;
    }
    if result.is_ok() && options.directory.is_none() {
        std::fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    result
}

fn directory(options: &Options) -> anyhow::Result<PathBuf> {
    let directory = match &options.directory {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("barnabas-quickstart-{}", std::process::id())),
    };
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(std::path::absolute(directory)?)
}

async fn start_and_show(
    options: &Options,
    directory: &std::path::Path,
    children: &mut Vec<Child>,
) -> anyhow::Result<()> {
    println!("Data and logs: {}", directory.display());
    let connect = match (&options.zookeeper, options.ensemble) {
        (Some(connect), _) => connect.clone(),
        (None, true) => ensemble::start(directory, options.zookeeper_libs.as_deref(), children).await?,
        (None, false) => {
            let port = free_port()?;
            let mut child =
                Child::start("zookeeper (embedded)", directory, &["zookeeper", "--port", &port.to_string()])?;
            child.wait_until_listening(port).await?;
            children.push(child);
            format!("127.0.0.1:{port}")
        }
    };
    let ports = broker_ports()?;
    let mut brokers = Vec::new();
    for (id, port) in ports.iter().enumerate() {
        let file = directory.join(format!("broker-{id}.properties"));
        let data = directory.join(format!("broker-{id}"));
        let text = format!(
            "# One broker of the quickstart cluster; `barnabas server` and Kafka's own start script read it alike.\n\
             broker.id={id}\nlisteners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={}\nzookeeper.connect={connect}\n\
             default.replication.factor=3\nmin.insync.replicas=2\noffsets.topic.num.partitions=4\n\
             zookeeper.session.timeout.ms=6000\ngroup.initial.rebalance.delay.ms=0\n\
             # The last broker to stop has nobody to hand over to: it need not insist.\n\
             controlled.shutdown.max.retries=1\ncontrolled.shutdown.retry.backoff.ms=100\n",
            data.display()
        );
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let name = format!("broker {id}");
        brokers.push(Child::start(&name, directory, &["server", &file.to_string_lossy()])?);
    }
    children.append(&mut brokers);
    let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let first_broker = children.len() - BROKERS;
    let check = |children: &mut Vec<Child>| children.iter_mut().try_for_each(Child::check_alive);
    let shown = demo::run(&ports, TOPIC, || check(children)).await?;

    println!("\n{:<22} {:>8}  {}", "process", "pid", "address");
    for (n, child) in children.iter().enumerate() {
        let address = match n.checked_sub(first_broker) {
            Some(broker) => &addresses[broker],
            // One address for each server that was started here, in this order.
            None => connect.split(',').nth(n).unwrap_or(&connect),
        };
        println!("{:<22} {:>8}  {address}", child.name, child.pid());
    }
    println!(
        "\nTopic `{TOPIC}`: {} partitions, replication factor {BROKERS}. {} records produced with acks=all, {} consumed, \
         in order.",
        demo::PARTITIONS,
        shown.produced,
        shown.consumed
    );
    if shown.produced != shown.consumed {
        bail!("{} of {} records came back", shown.consumed, shown.produced);
    }
    let victim = &children[first_broker + shown.leader_of_first as usize];
    let (bootstrap, kill) = (addresses.join(","), victim.pid());
    println!("\nTry next:");
    println!("  1. kcat -b {bootstrap} -L -t {TOPIC}                    # who leads, who is in sync");
    println!(
        "  2. kill -9 {kill}; then 1. again                        # the leader of partition 0 dies: another takes over"
    );
    println!("  3. echo hello | kcat -b {bootstrap} -P -t {TOPIC}; kcat -b {bootstrap} -C -t {TOPIC} -o -1 -e");
    Ok(())
}

/// 9092 and the following ports if they are free, else ports of the system's choice.
fn broker_ports() -> anyhow::Result<Vec<u16>> {
    let wanted: Vec<u16> = (0..BROKERS as u16).map(|n| FIRST_PORT + n).collect();
    if wanted.iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
        return Ok(wanted);
    }
    (0..BROKERS).map(|_| free_port()).collect()
}
