//! Four-letter words: what operators and their tools ask over a bare connection.

use std::fmt::Write;
use std::time::Duration;

use super::Shared;
use crate::zk::model::Model;

/// What the server has done so far.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
    total: Duration,
    min: Option<Duration>,
    max: Duration,
}

impl Traffic {
    /// A request was answered after this time.
    pub(super) fn count(&mut self, took: Duration) {
        self.received += 1;
        self.sent += 1;
        self.total += took;
        self.min = Some(self.min.map_or(took, |min| min.min(took)));
        self.max = self.max.max(took);
    }

    fn average_ms(&self) -> f64 {
        if self.received == 0 { 0.0 } else { self.total.as_secs_f64() * 1_000.0 / self.received as f64 }
    }
}

/// The answer to a word; `None` if these four bytes are none, but the length of a packet.
pub(super) fn answer(word: [u8; 4], shared: &Shared) -> Option<String> {
    let text = match &word {
        b"ruok" => "imok".to_owned(),
        b"isro" => "rw".to_owned(),
        b"srvr" => server(shared, false),
        b"stat" => server(shared, true),
        b"mntr" => monitor(shared),
        b"dump" => dump(shared),
        b"cons" => connections(shared),
        b"wchs" => watches(shared),
        b"conf" => configuration(shared),
        b"envi" => environment(),
        // Words that ZooKeeper knows and would want listed in `4lw.commands.whitelist`.
        b"crst" | b"dirs" | b"gtmk" | b"hash" | b"lsnp" | b"orst" | b"srst" | b"stmk" | b"wchc" | b"wchp" => {
            format!("{} is not executed because it is not in the whitelist.\n", String::from_utf8_lossy(&word))
        }
        _ => return None,
    };
    Some(text)
}

/// Tools look for a number like `3.8.4` here: the release whose behaviour this server has.
const VERSION: &str = concat!("3.8.4-barnabas-", env!("CARGO_PKG_VERSION"), "");

fn server(shared: &Shared, with_clients: bool) -> String {
    let mut out = format!("Zookeeper version: {VERSION}\n");
    if with_clients {
        out.push_str("Clients:\n");
        out.push_str(&connections(shared));
        out.push('\n');
    }
    let state = shared.state.lock();
    let traffic = &state.traffic;
    let _ = write!(
        out,
        "Latency min/avg/max: {}/{:.1}/{}\nReceived: {}\nSent: {}\nConnections: {}\nOutstanding: 0\nZxid: 0x{:x}\n\
         Mode: standalone\nNode count: {}\n",
        traffic.min.unwrap_or_default().as_millis(),
        traffic.average_ms(),
        traffic.max.as_millis(),
        traffic.received,
        traffic.sent,
        state.links.len(),
        state.model.last_zxid(),
        node_count(&state.model),
    );
    out
}

/// The original counts the root twice, under the names "" and "/".
fn node_count(model: &Model) -> usize {
    model.node_count() + 1
}

fn monitor(shared: &Shared) -> String {
    let state = shared.state.lock();
    let (traffic, model) = (&state.traffic, &state.model);
    let lines: [(&str, String); 14] = [
        ("version", VERSION.to_owned()),
        ("server_state", "standalone".to_owned()),
        ("avg_latency", format!("{:.1}", traffic.average_ms())),
        ("min_latency", traffic.min.unwrap_or_default().as_millis().to_string()),
        ("max_latency", traffic.max.as_millis().to_string()),
        ("packets_received", traffic.received.to_string()),
        ("packets_sent", traffic.sent.to_string()),
        ("num_alive_connections", state.links.len().to_string()),
        ("outstanding_requests", "0".to_owned()),
        ("znode_count", node_count(model).to_string()),
        ("watch_count", model.watch_count().to_string()),
        ("ephemerals_count", model.ephemeral_count().to_string()),
        ("approximate_data_size", model.approximate_data_size().to_string()),
        ("global_sessions", model.sessions().len().to_string()),
    ];
    lines.iter().map(|(name, value)| format!("zk_{name}\t{value}\n")).collect()
}

fn dump(shared: &Shared) -> String {
    let state = shared.state.lock();
    let sessions = state.model.sessions();
    let mut out = format!("SessionTracker dump:\nGlobal Sessions({}):\n", sessions.len());
    for session in &sessions {
        let _ = writeln!(out, "{}\t{}ms", session.id, session.timeout_ms);
    }
    let owners: Vec<_> = sessions
        .iter()
        .map(|session| (session.id, state.model.ephemerals(session.id, "/")))
        .filter(|(_, paths)| !paths.is_empty())
        .collect();
    let _ = writeln!(out, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", owners.len());
    for (session, paths) in owners {
        let _ = writeln!(out, "{session}:");
        for path in paths {
            let _ = writeln!(out, "\t{path}");
        }
    }
    out
}

fn connections(shared: &Shared) -> String {
    let state = shared.state.lock();
    let mut lines: Vec<_> =
        state.links.iter().map(|(session, link)| format!(" /{}[1](sid={session})\n", link.peer)).collect();
    lines.sort();
    lines.concat()
}

fn watches(shared: &Shared) -> String {
    let state = shared.state.lock();
    format!("{} connections\nTotal watches:{}\n", state.links.len(), state.model.watch_count())
}

fn configuration(shared: &Shared) -> String {
    let tick_ms = shared.options.tick_ms;
    format!(
        "clientPort={}\nclientPortAddress={}\ntickTime={tick_ms}\nmaxClientCnxns=0\nminSessionTimeout={}\n\
         maxSessionTimeout={}\nserverId=0\n",
        shared.addr.port(),
        shared.addr.ip(),
        tick_ms * 2,
        tick_ms * 20,
    )
}

fn environment() -> String {
    format!(
        "Environment:\nzookeeper.version={VERSION}\nos.name={}\nos.arch={}\n",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
