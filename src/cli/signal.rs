//! Signals that end a process.

use std::future::Future;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// A future that is ready, with the signal's name, once SIGTERM or SIGINT has come. From this call on neither ends the
/// process by itself.
pub fn stop_requested() -> io::Result<impl Future<Output = &'static str> + Send> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => "SIGTERM",
            _ = interrupted.recv() => "SIGINT",
        }
    })
}
