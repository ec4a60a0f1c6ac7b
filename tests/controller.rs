//! The controller against the model of ZooKeeper: the scenarios in `tests/controller/*.txt`, and traces of Kafka 3.9.1.
//!
//! A scenario is a text: lines that begin with `>` are what happens, the lines below each are what the cluster does
//! then: writes of znodes and requests to brokers. With `UPDATE_SCENARIOS=1` in the environment the outcomes are
//! written into the files, to be read before they are believed.

#[path = "controller/chaos.rs"]
mod chaos;
#[path = "controller/golden.rs"]
mod golden;
#[path = "controller/script.rs"]
mod script;
#[path = "controller/world.rs"]
mod world;

use std::path::Path;

fn scenario(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/controller").join(name).with_extension("txt");
    let text = std::fs::read_to_string(&path).expect("a scenario");
    let actual = script::run(&text);
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        std::fs::write(&path, &actual).expect("the scenario is written");
    } else if actual != text {
        let (mut expected, mut got) = (text.lines(), actual.lines());
        let mut number = 0;
        loop {
            number += 1;
            match (expected.next(), got.next()) {
                (Some(expected), Some(got)) if expected == got => {}
                (None, None) => break,
                (expected, got) => {
                    panic!("{name}, line {number}\n expected {expected:?}\n      got {got:?}\n\n{actual}")
                }
            }
        }
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => { $(#[test] fn $name() { scenario(stringify!($name)); })* };
}

scenarios! {
    topics
    broker_death
    failover
    bounce
    deletion
    alter_partition
    controlled_shutdown
    elections
    lost_replies
    sessions
    zombie
    log_dirs
    reassignment
    producer_ids
    watches
}
