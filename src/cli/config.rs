//! `barnabas config`: the tables of settings at the command line.

use crate::config::{KeyInfo, Mode, Support, TopicKey, keys, topic};
use std::fmt::Write;
use std::path::PathBuf;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List keys with their defaults
    List {
        /// Only keys whose name contains this
        #[arg(default_value = "")]
        part: String,
        /// Only keys that this broker treats so
        #[arg(long, value_enum)]
        support: Option<Level>,
    },
    /// Say everything about one key, of brokers or of topics
    Explain { key: String },
    /// Check a server.properties as a start would; status 1 if the broker would not start
    Check {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Set a property; wins over the file
        #[arg(long = "override", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
    },
}

/// [`Support`] as an argument.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Level {
    Honoured,
    NotYet,
    NoEffect,
    Refused,
}

impl Level {
    fn support(self) -> Support {
        match self {
            Level::Honoured => Support::Honoured,
            Level::NotYet => Support::Ignored,
            Level::NoEffect => Support::Inert,
            Level::Refused => Support::Refused,
        }
    }
}

/// Runs the command.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { part, support } => super::print(&list(&part, support.map(Level::support))),
        Command::Explain { key } => super::print(&explain(&key)?),
        Command::Check { file, overrides } => {
            let settings = super::server::read_settings(&file, &overrides)?;
            let mut page = format!("{}: the broker would start\n", file.display());
            for (words, names) in [("known, but not honoured yet", settings.ignored()), ("unknown", settings.unknown())]
            {
                if !names.is_empty() {
                    page.push_str(&format!("{words}: {}\n", names.join(", ")));
                }
            }
            super::print(&page)
        }
    }
}

fn list(part: &str, support: Option<Support>) -> String {
    let mut page = String::new();
    let wanted = |key: &&KeyInfo| key.name.contains(part) && support.is_none_or(|support| key.support == support);
    for key in keys::TABLE.iter().filter(wanted) {
        line(&mut page, format_args!("{:<9} {}={}", key.support.name(), key.name, key.default.unwrap_or("(null)")));
    }
    page
}

fn explain(name: &str) -> anyhow::Result<String> {
    let mut page = String::new();
    if let Some(key) = keys::find(name) {
        explain_broker_key(&mut page, key);
    }
    if let Some(key) = topic::find(name) {
        explain_topic_key(&mut page, key);
    }
    if page.is_empty() {
        let part = name.rsplit('.').next().unwrap_or(name);
        let names: Vec<&str> =
            keys::TABLE.iter().map(|key| key.name).filter(|name| name.contains(part)).take(8).collect();
        let hint = if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) };
        anyhow::bail!("no key is named {name}{hint}");
    }
    Ok(page)
}

fn explain_broker_key(page: &mut String, key: &KeyInfo) {
    line(page, format_args!("{}: {}", key.name, key.meaning));
    let whose = if key.mode == Mode::Own { "brokers, unknown to Kafka" } else { "brokers" };
    line(page, format_args!("  a key of {whose}, {}, importance {}", key.mode.name(), key.importance.name()));
    line(page, format_args!("  type {}, default {}", key.kind.name(), key.default.unwrap_or("(null)")));
    bounds(page, &key.valid.to_string());
    here(page, key.support);
}

fn explain_topic_key(page: &mut String, key: &TopicKey) {
    line(page, format_args!("{}: {}", key.name, key.meaning));
    line(page, format_args!("  a key of topics, importance {}", key.importance.name()));
    let default = if key.default.is_empty() { "(empty)" } else { key.default };
    line(page, format_args!("  type {}, default {default}", key.kind.name()));
    if !key.broker_keys.is_empty() {
        line(page, format_args!("  the default comes from the broker's {}", key.broker_keys.join(", else ")));
    }
    bounds(page, &key.valid.to_string());
    here(page, key.support);
}

fn bounds(page: &mut String, text: &str) {
    if !text.is_empty() {
        line(page, format_args!("  bounds {text}"));
    }
}

fn here(page: &mut String, support: Support) {
    let text = match support {
        Support::Honoured => "honoured here",
        Support::Ignored => "not honoured yet: a warning at the start names it",
        Support::Inert => "without effect, as in Kafka with ZooKeeper and current clients",
        Support::Refused => "refused: the broker does not start if it is set to something else than its default",
    };
    line(page, format_args!("  {text}"));
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a string takes everything");
}
