//! `barnabas zookeeper`: the embedded ZooKeeper as a process of its own, for development and tests.

use std::io;
use std::net::IpAddr;

use tokio::signal::unix::{SignalKind, signal};

use crate::zk::server::{Options, Server};

/// Serves until SIGINT or SIGTERM. Prints the address to standard output, so that scripts can let the system choose
/// the port (0).
pub async fn run(bind: IpAddr, port: u16, options: Options) -> io::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let server = Server::start_with((bind, port), options).await?;
    println!("{}", server.addr());
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    server.shutdown().await;
    Ok(())
}
