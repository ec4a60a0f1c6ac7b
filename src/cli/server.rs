//! `barnabas server FILE`: one broker from a Kafka `server.properties`.

use crate::broker;
use crate::config::properties::PropertiesFile;
use crate::config::{ConfigErrors, InvalidConfig, Settings, keys};
use crate::metrics::{self, Metrics};
use anyhow::Context;
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Kafka's server.properties
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Set a property; wins over the file
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Layout of log lines; the environment variable BARNABAS_LOG filters them, as info,barnabas::controller=debug
    #[arg(long, value_enum, default_value_t)]
    log_format: super::logging::Format,
}

/// Runs a broker until SIGTERM or SIGINT; an error is why it could not start or go on.
pub fn run(options: Options) -> anyhow::Result<()> {
    let settings = read_settings(&options.file, &options.overrides)?;
    super::logging::start(options.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.get(keys::NUM_NETWORK_THREADS) as usize)
        .thread_name("network")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    // Before anything that takes time: a signal during the start must end it in order, too.
    let stop = super::signal::stop_requested()?;
    warn_about(&settings);
    let metrics = Metrics::default();
    metrics::process::register(&metrics);
    if let Some(address) = settings.get(keys::BARNABAS_METRICS_LISTENER) {
        let listener =
            metrics::http::bind(&address).await.with_context(|| format!("barnabas.metrics.listener={address}"))?;
        info!(address = %listener.local_addr()?, "Metrics are served at /metrics");
        tokio::spawn(metrics::http::serve(listener, metrics.clone()));
    }
    broker::run(settings, metrics, stop).await
}

/// One line for all keys that do nothing, one for those that nobody knows.
fn warn_about(settings: &Settings) {
    let (ignored, unknown) = (settings.ignored(), settings.unknown());
    if !ignored.is_empty() {
        warn!("These configurations are known but have no effect yet: {}", ignored.join(", "));
    }
    if !unknown.is_empty() {
        info!("These configurations were supplied but are not known: {}", unknown.join(", "));
    }
}

/// Reads and checks a file with overrides; the error names file and line of every problem.
pub(super) fn read_settings(file: &Path, overrides: &[String]) -> anyhow::Result<Settings> {
    let mut properties = PropertiesFile::read(file)?;
    for text in overrides {
        properties.set_override(text)?;
    }
    Settings::from_properties(properties.properties()).map_err(|errors| explain(&errors, &properties))
}

/// The problems, each after the place where the key was set.
fn explain(errors: &ConfigErrors, properties: &PropertiesFile) -> anyhow::Error {
    let mut text = String::from("the settings cannot be used:");
    for error in &errors.0 {
        text.push_str("\n  ");
        if let Some(origin) = error_key(error, properties).and_then(|key| properties.origin(key)) {
            text.push_str(&format!("{origin}: "));
        }
        text.push_str(&error.to_string());
    }
    text.push_str("\n`barnabas config explain KEY` tells what a key is for.");
    anyhow::anyhow!(text)
}

/// The key that a problem is about: the one it names first.
fn error_key<'a>(error: &'a InvalidConfig, properties: &PropertiesFile) -> Option<&'a str> {
    match error {
        InvalidConfig::Value { name, .. } => Some(name),
        InvalidConfig::UnknownName(name) => Some(name),
        InvalidConfig::Conflict(text) | InvalidConfig::Unable(text) => text
            .split(|c: char| c.is_whitespace() || "=:`,()".contains(c))
            .map(|word| word.trim_end_matches('.'))
            .find(|word| properties.origin(word).is_some()),
    }
}
