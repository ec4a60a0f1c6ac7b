//! The order in which waiting requests are sent.

use std::collections::VecDeque;

/// Waiting requests: those that a broken link lost come first, in their old order; then one of each batch in turn, so
/// that a controller's hundred thousand reads do not hold up the one write of a registration. Within a batch the order
/// stays.
#[derive(Debug)]
pub struct Queue<T> {
    lost: VecDeque<T>,
    batches: VecDeque<VecDeque<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { lost: VecDeque::new(), batches: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    /// Adds a batch at the end of the round.
    pub fn push(&mut self, batch: VecDeque<T>) {
        if !batch.is_empty() {
            self.batches.push_back(batch);
        }
    }

    /// Takes back a request whose answer was lost. Call in the order in which they were sent.
    pub fn give_back(&mut self, request: T) {
        self.lost.push_back(request);
    }

    /// Takes back a request that could not be sent yet: it is the next.
    pub fn put_back(&mut self, request: T) {
        self.lost.push_front(request);
    }

    /// The request to send next.
    pub fn next(&mut self) -> Option<T> {
        if let Some(request) = self.lost.pop_front() {
            return Some(request);
        }
        let mut batch = self.batches.pop_front()?;
        let request = batch.pop_front();
        self.push(batch);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn batches_take_turns_and_keep_their_order() {
        let mut queue = Queue::default();
        queue.push([1, 2, 3, 4].into());
        queue.push([].into());
        queue.push([10].into());
        queue.push([20, 21].into());
        assert_eq!(drain(&mut queue), [1, 10, 20, 2, 21, 3, 4]);
    }

    #[test]
    fn lost_requests_go_first() {
        let mut queue = Queue::default();
        queue.push([1, 2, 3].into());
        let (first, second) = (queue.next().unwrap(), queue.next().unwrap());
        queue.give_back(first);
        queue.give_back(second);
        assert_eq!(drain(&mut queue), [1, 2, 3]);
    }
}
