//! ListTransactions (66), versions 0-1: the transactional ids that this broker coordinates (KIP-664), by state, by producer
//! id and, from v1, by how long the transaction has been open (KIP-994). States that nobody knows come back by name.
//! Studied: `TransactionStateManager.listTransactionStates`.

use super::prelude::*;
use crate::time::Millis;
use crate::txn::machine::{Image, State};
use messages::list_transactions::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let Request { state_filters, producer_id_filters: producers, duration_filter } = request;
    let states: Vec<State> = state_filters.iter().filter_map(|name| State::from_name(name)).collect();
    let fits = |image: &Image, now: Millis| {
        (producers.is_empty() || producers.contains(&image.producer_id))
            && (state_filters.is_empty() || states.contains(&image.state))
            && (duration_filter < 0 || now - image.start_ms > duration_filter)
    };
    let listed = match broker.transactions.list(fits) {
        Ok(listed) => listed,
        Err(error) => return Response { error_code: error.code(), ..Response::default() }.into(),
    };
    let state = |txn: crate::txn::coordinator::Listed| TransactionState {
        transactional_id: txn.transactional_id.into(),
        producer_id: txn.producer_id,
        transaction_state: Str::from_static(txn.state.name()),
    };
    let unknown = state_filters.into_iter().filter(|name| State::from_name(name).is_none());
    Response {
        unknown_state_filters: unknown.collect(),
        transaction_states: listed.into_iter().map(state).collect(),
        ..Response::default()
    }
    .into()
}
