//! The requests of one connection that have no answer yet, in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use super::memory::Charge;
use super::metrics::Times;
use super::{Kind, Outcome, Subject, Work};

/// A queue of requests: started in order as their [`Kind`] allows, answered in order.
#[derive(Default)]
pub struct InFlight {
    requests: VecDeque<Request>,
}

struct Request {
    work: Work,
    bytes: usize,
    arrived: Instant,
    /// Begin and end of the first poll.
    started: Option<(Instant, Instant)>,
    outcome: Option<(Outcome, Instant)>,
    /// Held until the request is decided.
    charge: Option<Charge>,
}

/// A request whose turn to be answered has come.
pub struct Decided {
    pub outcome: Outcome,
    pub(super) subject: Option<Subject>,
    /// Length of the request.
    pub(super) bytes: usize,
    pub(super) times: Times,
}

impl InFlight {
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Puts a request of so many bytes behind the others. It is started by a later [`next`](Self::next), not here.
    pub fn push(&mut self, work: Work, bytes: usize, charge: Option<Charge>) {
        let arrived = Instant::now();
        self.requests.push_back(Request { work, bytes, arrived, started: None, outcome: None, charge });
    }

    /// Drives all requests; ready with the oldest when that is decided and `take` holds. Never ready when empty. Dropping
    /// the future loses nothing.
    pub async fn next(&mut self, take: bool) -> Decided {
        poll_fn(|cx| {
            self.drive(cx);
            match self.next_decided_if(take) {
                Some(decided) => Poll::Ready(decided),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// The oldest request, if it is decided already.
    pub fn next_decided(&mut self) -> Option<Decided> {
        let outcome = self.requests.front_mut()?.outcome.take();
        let (outcome, decided) = outcome?;
        let Request { work, bytes, arrived, started, .. } = self.requests.pop_front()?;
        let (started, ordered) = started?;
        Some(Decided { outcome, subject: work.subject, bytes, times: Times { arrived, started, ordered, decided } })
    }

    fn next_decided_if(&mut self, take: bool) -> Option<Decided> {
        if take { self.next_decided() } else { None }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        // May the next request start, as far as those before it go?
        let (mut all_decided, mut only_two_phase) = (true, true);
        for request in &mut self.requests {
            if request.outcome.is_some() {
                continue;
            }
            let two_phase = request.work.kind == Kind::TwoPhase;
            if !(request.started.is_some() || all_decided || (two_phase && only_two_phase)) {
                return;
            }
            let polled = Instant::now();
            let poll = request.work.answer.as_mut().poll(cx);
            let (_, ordered) = *request.started.get_or_insert_with(|| (polled, Instant::now()));
            match poll {
                Poll::Ready(outcome) => {
                    // Decided by the first poll: nothing was waited for.
                    let decided = if polled < ordered { ordered } else { Instant::now() };
                    request.outcome = Some((outcome, decided));
                    request.charge = None;
                }
                Poll::Pending => {
                    all_decided = false;
                    only_two_phase &= two_phase;
                }
            }
        }
    }

    /// The client is gone: keeps what has been started and must run to its end.
    pub fn abandon(&mut self) {
        self.requests.retain(|request| {
            request.started.is_some() && request.outcome.is_none() && request.work.kind != Kind::LongPoll
        });
    }

    /// Runs everything to its end and forgets the outcomes.
    pub async fn finish(mut self) {
        while !self.is_empty() {
            self.next(true).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Waker;

    use parking_lot::Mutex;
    use tokio::sync::Notify;

    /// A request that writes its name when it starts and when it is let go.
    struct Script {
        log: Arc<Mutex<Vec<String>>>,
        queue: InFlight,
        gates: Vec<Arc<Notify>>,
    }

    impl Script {
        fn new(kinds: &[Kind]) -> Self {
            let mut script = Self { log: Arc::default(), queue: InFlight::default(), gates: Vec::new() };
            for (number, &kind) in kinds.iter().enumerate() {
                let (log, gate) = (script.log.clone(), Arc::new(Notify::new()));
                script.gates.push(gate.clone());
                let answer = Box::pin(async move {
                    log.lock().push(format!("start {number}"));
                    gate.notified().await;
                    log.lock().push(format!("end {number}"));
                    Outcome::Nothing
                });
                script.queue.push(Work { kind, subject: None, answer }, 0, None);
            }
            script
        }

        fn drive(&mut self) -> Vec<String> {
            self.queue.drive(&mut Context::from_waker(Waker::noop()));
            std::mem::take(&mut self.log.lock())
        }
    }

    #[test]
    fn two_phase_requests_overlap_but_start_in_order() {
        let mut script = Script::new(&[Kind::TwoPhase, Kind::TwoPhase, Kind::OnePhase, Kind::TwoPhase]);
        assert_eq!(script.drive(), ["start 0", "start 1"]);
        script.gates[1].notify_one();
        assert_eq!(script.drive(), ["end 1"]);
        script.gates[0].notify_one();
        assert_eq!(script.drive(), ["end 0", "start 2"]);
        script.gates[2].notify_one();
        assert_eq!(script.drive(), ["end 2", "start 3"]);
    }

    #[test]
    fn outcomes_come_in_order() {
        let mut script = Script::new(&[Kind::TwoPhase, Kind::TwoPhase]);
        script.gates[1].notify_one();
        script.drive();
        assert!(script.queue.next_decided().is_none());
        script.gates[0].notify_one();
        script.drive();
        assert!(script.queue.next_decided().is_some());
        assert!(script.queue.next_decided().is_some());
        assert!(script.queue.is_empty());
    }

    #[test]
    fn a_lost_client_leaves_what_must_be_finished() {
        let mut script = Script::new(&[Kind::LongPoll, Kind::OnePhase]);
        script.drive();
        script.queue.abandon();
        assert!(script.queue.is_empty(), "a long poll is dropped and the request behind it never started");
        let mut script = Script::new(&[Kind::OnePhase, Kind::OnePhase]);
        script.drive();
        script.queue.abandon();
        assert_eq!(script.queue.len(), 1);
    }
}
