//! How many connections there may be: per address, per listener, and in all.
//!
//! - Over `max.connections.per.ip` a connection is accepted and closed without a byte.
//! - At `max.connections`, of the broker or of the listener, accepting waits. The inter-broker listener, if there are
//!   others, does not wait for the broker's limit: it takes its place from the connection of another listener that has been
//!   idle longest.
//!
//! Kafka: `SocketServer.ConnectionQuotas`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::time::{Clock, Millis};

/// Limits on connections, under Kafka's names.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// `max.connections`.
    pub max_connections: usize,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: usize,
    /// `max.connections.per.ip.overrides`, names resolved.
    pub per_ip_overrides: HashMap<IpAddr, usize>,
    /// Listener that is not held up by the others.
    pub inter_broker_listener: Arc<str>,
}

/// All open connections of a broker.
pub struct Connections {
    limits: ArcSwap<ConnectionLimits>,
    open: Mutex<Open>,
    /// A connection has ended.
    freed: Notify,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    per_ip: HashMap<IpAddr, usize>,
    listeners: HashMap<Arc<str>, Listener>,
    total: usize,
}

struct Listener {
    max_connections: usize,
    connections: HashMap<u64, Arc<Activity>>,
}

/// What a connection tells about itself, and how it is told to end.
pub struct Activity {
    clock: Clock,
    last_ms: AtomicI64,
    /// Ends the connection at once.
    pub close: CancellationToken,
}

impl Activity {
    /// Bytes have moved.
    pub fn touch(&self) {
        self.last_ms.store(self.clock.now_ms(), Ordering::Relaxed);
    }

    /// Milliseconds since bytes moved.
    pub fn idle_ms(&self) -> Millis {
        self.clock.now_ms() - self.last_ms.load(Ordering::Relaxed)
    }
}

/// A connection's place; dropping it makes room.
pub struct Place {
    connections: Arc<Connections>,
    listener: Arc<str>,
    ip: IpAddr,
    id: u64,
    pub activity: Arc<Activity>,
}

impl Connections {
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits: ArcSwap::from_pointee(limits), open: Mutex::default(), freed: Notify::new() })
    }

    /// Registers a listener and its own limit (`listener.name.<name>.max.connections`).
    pub fn add_listener(&self, name: &Arc<str>, max_connections: usize) {
        let listener = Listener { max_connections, connections: HashMap::new() };
        self.open.lock().listeners.insert(name.clone(), listener);
    }

    /// Changes the limits of the broker and those of its listeners. Connections over a smaller limit stay.
    pub fn set_limits(&self, limits: ConnectionLimits, of_listeners: impl IntoIterator<Item = (Arc<str>, usize)>) {
        let mut open = self.open.lock();
        self.limits.store(Arc::new(limits));
        for (name, max_connections) in of_listeners {
            if let Some(listener) = open.listeners.get_mut(&name) {
                listener.max_connections = max_connections;
            }
        }
        // There may be room now.
        self.freed.notify_waiters();
    }

    /// Waits until the listener may have one more connection, and takes the place; `None` if the address has too many.
    /// Only the accept loop of the listener calls this, so nobody else can take the place in between.
    pub async fn admit(self: &Arc<Self>, listener: &Arc<str>, ip: IpAddr, clock: Clock) -> Option<Place> {
        loop {
            // Registered before looking, so that no wake-up is lost.
            let freed = self.freed.notified();
            {
                let mut open = self.open.lock();
                if self.has_room(&open, listener) {
                    return self.take_place(&mut open, listener, ip, clock);
                }
            }
            freed.await;
        }
    }

    /// Is this the inter-broker listener beside others?
    pub fn is_protected(&self, listener: &str) -> bool {
        *listener == *self.limits.load().inter_broker_listener && self.open.lock().listeners.len() > 1
    }

    fn has_room(&self, open: &Open, name: &Arc<str>) -> bool {
        let limits = self.limits.load();
        let protected = **name == *limits.inter_broker_listener && open.listeners.len() > 1;
        let listener = open.listeners.get(name).is_none_or(|l| l.connections.len() < l.max_connections);
        listener && (protected || open.total < limits.max_connections)
    }

    fn take_place(self: &Arc<Self>, open: &mut Open, listener: &Arc<str>, ip: IpAddr, clock: Clock) -> Option<Place> {
        let limits = self.limits.load();
        let allowed = limits.per_ip_overrides.get(&ip).copied().unwrap_or(limits.max_connections_per_ip);
        if open.per_ip.get(&ip).copied().unwrap_or(0) >= allowed {
            return None;
        }
        if open.total >= limits.max_connections {
            self.close_idlest_of_others(open, listener);
        }
        *open.per_ip.entry(ip).or_default() += 1;
        open.total += 1;
        let id = open.next_id;
        open.next_id += 1;
        let activity =
            Arc::new(Activity { clock, last_ms: AtomicI64::new(clock.now_ms()), close: CancellationToken::new() });
        if let Some(registered) = open.listeners.get_mut(listener) {
            registered.connections.insert(id, activity.clone());
        }
        Some(Place { connections: self.clone(), listener: listener.clone(), ip, id, activity })
    }

    fn close_idlest_of_others(&self, open: &Open, protected: &Arc<str>) {
        let others = open.listeners.iter().filter(|(name, _)| *name != protected);
        let candidates = others.flat_map(|(_, listener)| &listener.connections);
        let open_still = candidates.filter(|(_, activity)| !activity.close.is_cancelled());
        let idlest = open_still.max_by_key(|(id, activity)| (activity.idle_ms(), Reverse(**id)));
        if let Some((_, activity)) = idlest {
            activity.close.cancel();
        }
    }

    /// Ends every connection at once.
    pub fn close_all(&self) {
        let open = self.open.lock();
        open.listeners.values().flat_map(|listener| listener.connections.values()).for_each(|c| c.close.cancel());
    }

    /// Connections of a listener that are open now.
    pub fn count(&self, listener: &str) -> usize {
        self.open.lock().listeners.get(listener).map_or(0, |listener| listener.connections.len())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.total -= 1;
        if let Some(listener) = open.listeners.get_mut(&self.listener) {
            listener.connections.remove(&self.id);
        }
        if let Some(count) = open.per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.per_ip.remove(&self.ip);
            }
        }
        drop(open);
        self.connections.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn connections(max: usize, per_ip: usize) -> (Arc<Connections>, Arc<str>, Arc<str>) {
        let (inner, outer): (Arc<str>, Arc<str>) = ("INNER".into(), "OUTER".into());
        let connections = Connections::new(ConnectionLimits {
            max_connections: max,
            max_connections_per_ip: per_ip,
            per_ip_overrides: HashMap::from([(IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)), 0)]),
            inter_broker_listener: inner.clone(),
        });
        connections.add_listener(&inner, usize::MAX);
        connections.add_listener(&outer, usize::MAX);
        (connections, inner, outer)
    }

    #[tokio::test]
    async fn an_address_over_its_limit_is_turned_away() {
        let (connections, _, outer) = connections(100, 1);
        let first = connections.admit(&outer, HOME, Clock).await;
        assert!(first.is_some());
        assert!(connections.admit(&outer, HOME, Clock).await.is_none());
        assert!(connections.admit(&outer, IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)), Clock).await.is_none());
        drop(first);
        assert!(connections.admit(&outer, HOME, Clock).await.is_some());
    }

    #[tokio::test]
    async fn accepting_waits_at_the_brokers_limit() {
        let (connections, _, outer) = connections(1, 100);
        let first = connections.admit(&outer, HOME, Clock).await.unwrap();
        let (second, ()) = tokio::join!(connections.admit(&outer, HOME, Clock), async { drop(first) });
        assert!(second.is_some());
        assert_eq!(connections.count("OUTER"), 1);
    }

    #[tokio::test]
    async fn a_raised_limit_lets_those_in_who_wait() {
        let (connections, inner, outer) = connections(1, 100);
        let _first = connections.admit(&outer, HOME, Clock).await.unwrap();
        let raised = ConnectionLimits { max_connections: 5, ..(**connections.limits.load()).clone() };
        let raise = async { connections.set_limits(raised, [(outer.clone(), 2), (inner, 5)]) };
        let (second, ()) = tokio::join!(connections.admit(&outer, HOME, Clock), raise);
        assert!(second.is_some());
        // Now the listener's own limit holds.
        let open = connections.open.lock();
        assert!(!connections.has_room(&open, &outer));
    }

    #[tokio::test]
    async fn the_inter_broker_listener_takes_the_place_of_an_idle_client() {
        let (connections, inner, outer) = connections(1, 100);
        let client = connections.admit(&outer, HOME, Clock).await.unwrap();
        let broker = connections.admit(&inner, HOME, Clock).await;
        assert!(broker.is_some() && client.activity.close.is_cancelled());
    }
}
