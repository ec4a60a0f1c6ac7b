//! Blocks of producer ids for the brokers (KIP-730). The one write that is not fenced by the controller epoch: the version of
//! the node itself keeps two controllers from giving out the same block.

use tracing::info;

use crate::controller::effect::Answer;
use crate::controller::event::CallId;
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::store::set;
use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, ZkVersion};
use crate::wire::messages::allocate_producer_ids::{Request, Response};
use crate::zk::data::{Data, ProducerIdBlock};
use crate::zk::op::{Op, ZkError};
use crate::zk::path;

impl Controller {
    pub async fn allocate_producer_ids(&mut self, call: CallId, request: Request) -> Result<(), Fail> {
        let broker = BrokerId(request.broker_id);
        let refused = match self.context.broker(broker) {
            None => Some(ErrorCode::BrokerIdNotRegistered),
            Some(known) if known.epoch != BrokerEpoch(request.broker_epoch) => Some(ErrorCode::StaleBrokerEpoch),
            Some(_) => None,
        };
        let outcome = match refused {
            Some(error) => Ok(Err(error)),
            None => self.next_block(broker).await.map(Ok),
        };
        let refuse = |error: ErrorCode| Response { error_code: error.code(), ..Response::default() };
        let (response, outcome) = match outcome {
            Ok(Ok(block)) => {
                let len = i32::try_from(block.last - block.first + 1).unwrap_or(0);
                (Response { producer_id_start: block.first, producer_id_len: len, ..Response::default() }, Ok(()))
            }
            Ok(Err(error)) => (refuse(error), Ok(())),
            Err(fail) => (refuse(ErrorCode::UnknownServerError), Err(fail)),
        };
        self.answer(call, Answer::AllocateProducerIds(response));
        outcome
    }

    async fn next_block(&self, broker: BrokerId) -> Result<ProducerIdBlock, Fail> {
        let path = path::PRODUCER_ID_BLOCK;
        loop {
            let Some((data, stat)) = self.read(path, false).await? else {
                return Err(Fail::Zk { path: path.into(), error: ZkError::NoNode });
            };
            let block = ProducerIdBlock::next(data.as_deref(), broker)
                .map_err(|error| Fail::Other(format!("{path}: {error}")))?
                .ok_or_else(|| Fail::Other("Exhausted all producerIds".into()))?;
            match self.io.zk(Op::Write(set(path, block.encode(), ZkVersion(stat.version)))).await? {
                Ok(_) => {
                    info!(target: "kafka.controller", "Acquired new producerId block {} to {} for broker {broker}", block.first, block.last);
                    return Ok(block);
                }
                // Another one was faster, or the reply to our own write was lost: a block is skipped.
                Err(ZkError::BadVersion) => {}
                Err(error) => return Err(Fail::Zk { path: path.into(), error }),
            }
        }
    }
}
