//! Log lines: in the layout of Kafka's own (`[time] LEVEL message (logger)`), or as JSON.

use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, fmt as subscriber};

use crate::time::Clock;

/// The layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// As Kafka's log4j: `[2026-11-21 12:00:00,123] INFO message (logger)`, times in UTC
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Environment variable with the filter, as `info,barnabas::controller=trace`.
pub const FILTER_VARIABLE: &str = "BARNABAS_LOG";

/// Without that variable. The ZooKeeper client tells every step of its own; what matters of it we say ourselves.
const DEFAULT_FILTER: &str = "info,zookeeper_client=warn";

/// Sends the events of this process to standard output. A bad filter is an error with its reason.
pub fn start(format: Format) -> anyhow::Result<()> {
    let text = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let text = if text.trim().is_empty() { DEFAULT_FILTER.to_owned() } else { text };
    let filter = EnvFilter::try_new(&text).map_err(|error| anyhow::anyhow!("{FILTER_VARIABLE}={text}: {error}"))?;
    let builder = subscriber().with_env_filter(filter).with_writer(std::io::stdout);
    let started = match format {
        Format::Text => builder.with_ansi(false).event_format(Layout).try_init(),
        Format::Json => builder.json().with_timer(Utc).flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("{error}"))
}

/// The text layout. Spans stand in brackets before the message, as Kafka's `[Controller id=0]`.
struct Layout;

impl<S, N> FormatEvent<S, N> for Layout
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let wall_ms = Clock.wall_ms();
        let metadata = event.metadata();
        write!(out, "[{}] {} ", KafkaTime(wall_ms), metadata.level())?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.as_str());
            let space = if fields.is_empty() { "" } else { " " };
            write!(out, "[{}{space}{fields}] ", span.name())?;
        }
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out, " ({})", metadata.target())
    }
}

/// `2026-11-21T12:00:00.123Z`, for JSON.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        let text = KafkaTime(Clock.wall_ms()).to_string();
        write!(out, "{}Z", text.replacen(' ', "T", 1).replace(',', "."))
    }
}

/// Milliseconds since 1970 as `2026-11-21 12:00:00,123` in UTC.
struct KafkaTime(i64);

impl fmt::Display for KafkaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = date(days);
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02},{:03}", ms % 1000)
    }
}

/// Year, month and day of a day since 1970-01-01. Counted in years that begin in March, so that leap days come last.
fn date(days_since_1970: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    const DAYS_FROM_MARCH_0000_TO_1970: i64 = 719_468;
    let days = days_since_1970 + DAYS_FROM_MARCH_0000_TO_1970;
    let (cycle, day_of_cycle) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // Five months from March on have 153 days together.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn times_are_dates_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00,000"),
            (-1, "1969-12-31 23:59:59,999"),
            (951_782_400_000, "2000-02-29 00:00:00,000"),
            (1_795_262_400_123, "2026-11-21 12:00:00,123"),
            (4_107_542_399_000, "2100-02-28 23:59:59,000"),
            (4_107_542_400_000, "2100-03-01 00:00:00,000"),
        ] {
            assert_eq!(KafkaTime(ms).to_string(), text);
        }
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_look_like_those_of_kafka() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber =
            subscriber().with_ansi(false).event_format(Layout).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("Controller", id = 3).entered();
            tracing::info!(target: "kafka.controller", epoch = 7, "Elected");
        });
        let line = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = line.split_once("] ").unwrap();
        assert_eq!(time.len(), "[2026-11-21 12:00:00,123".len());
        assert_eq!(rest, "INFO [Controller id=3] Elected epoch=7 (kafka.controller)\n");
    }
}
