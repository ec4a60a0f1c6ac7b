//! `barnabas dump-log`: files of a log directory as text, as Kafka's `kafka.tools.DumpLogSegments` prints them.

use std::io::{BufWriter, ErrorKind};
use std::path::PathBuf;

use anyhow::bail;

use crate::log::inspect::InspectError;
use crate::log::inspect::dump::{self, Content, Decoder, Dump};

/// The options of Kafka's tool, under their names.
#[derive(Debug, clap::Args)]
#[command(infer_long_args = true)]
pub struct Options {
    /// Files to print, with commas between them: .log, .index, .timeindex, .snapshot, .txnindex
    #[arg(long, required = true, value_name = "FILE,FILE,…")]
    files: String,
    /// Print every record, not only the batches
    #[arg(long)]
    deep_iteration: bool,
    /// Print keys and values; includes --deep-iteration
    #[arg(long)]
    print_data_log: bool,
    /// Check indexes against their logs without printing the entries
    #[arg(long)]
    verify_index_only: bool,
    /// Check indexes only as a broker does at its start
    #[arg(long)]
    index_sanity_check: bool,
    /// Bytes of the largest batch that an index entry may lead to
    #[arg(long, value_name = "BYTES", default_value_t = 5 << 20)]
    max_message_size: i32,
    /// Read no more than this of each log
    #[arg(long, value_name = "BYTES", default_value_t = i32::MAX)]
    max_bytes: i32,
    /// Decode records of __consumer_offsets
    #[arg(long)]
    offsets_decoder: bool,
    /// Decode records of __transaction_state
    #[arg(long)]
    transaction_log_decoder: bool,
    /// For KRaft clusters: refused
    #[arg(long)]
    cluster_metadata_decoder: bool,
    /// For tiered storage: refused
    #[arg(long)]
    remote_log_metadata_decoder: bool,
    /// Leave out offsets, times, sizes and headers of records
    #[arg(long)]
    skip_record_metadata: bool,
    /// Kafka's StringDecoder, IntegerDecoder or LongDecoder
    #[arg(long, value_name = "CLASS", num_args = 0..=1)]
    value_decoder_class: Option<Option<String>>,
    /// Kafka's StringDecoder, IntegerDecoder or LongDecoder
    #[arg(long, value_name = "CLASS", num_args = 0..=1)]
    key_decoder_class: Option<Option<String>>,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    if options.cluster_metadata_decoder {
        bail!("--cluster-metadata-decoder: a ZooKeeper cluster has no metadata log");
    }
    if options.remote_log_metadata_decoder {
        bail!("--remote-log-metadata-decoder: there is no tiered storage here");
    }
    let key = decoder(options.key_decoder_class.as_ref())?;
    let value = decoder(options.value_decoder_class.as_ref())?;
    let print = options.print_data_log || options.key_decoder_class.is_some() || options.value_decoder_class.is_some();
    let content = if options.offsets_decoder {
        Some(Content::Offsets)
    } else if options.transaction_log_decoder {
        Some(Content::TransactionLog)
    } else {
        print.then_some(Content::Records { key, value })
    };
    let dump_options = dump::Options {
        deep: options.deep_iteration || content.is_some(),
        print_content: content,
        skip_record_metadata: options.skip_record_metadata,
        verify_index_only: options.verify_index_only,
        index_sanity_only: options.index_sanity_check,
        max_message_bytes: options.max_message_size,
        max_bytes: options.max_bytes,
    };
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut err = std::io::stderr().lock();
    let mut dump = Dump::new(&dump_options, &mut out, &mut err);
    let printed = options.files.trim_end_matches(',').split(',').try_for_each(|file| dump.file(&java_path(file)));
    match printed.and_then(|()| dump.finish()) {
        // A reader that has gone away, as `head`.
        Err(InspectError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// One of Kafka's decoder classes, under its name of today or of before 3.8.
fn decoder(class: Option<&Option<String>>) -> anyhow::Result<Decoder> {
    const OLD: &str = "kafka.serializer.";
    const NEW: &str = "org.apache.kafka.tools.api.";
    let Some(Some(class)) = class else { return Ok(Decoder::Text) };
    let name = class.strip_prefix(OLD).or(class.strip_prefix(NEW));
    let decoder = match name {
        Some("StringDecoder") => Decoder::Text,
        Some("IntegerDecoder") => Decoder::Integer,
        Some("LongDecoder") => Decoder::Long,
        _ => bail!("{class} is a Java class that cannot be run here; there are {NEW}{{String,Integer,Long}}Decoder"),
    };
    if let Some(name) = class.strip_prefix(OLD) {
        super::print(&format!("{class} is deprecated. Please use {NEW}{name} instead\n"))?;
    }
    Ok(decoder)
}

/// A path as `java.io.File` keeps it: slashes not repeated, none at the end.
fn java_path(path: &str) -> PathBuf {
    let mut normal = String::with_capacity(path.len());
    for c in path.chars().filter(|c| *c != '\0') {
        if c != '/' || !normal.ends_with('/') {
            normal.push(c);
        }
    }
    if normal.len() > 1 && normal.ends_with('/') {
        normal.pop();
    }
    normal.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_java_prints_them() {
        for (path, normal) in [("a//b/", "a/b"), ("./a", "./a"), ("/", "/"), ("///x//", "/x")] {
            assert_eq!(java_path(path).to_str(), Some(normal));
        }
    }

    #[test]
    fn decoders() {
        let class = |name: &str| Some(Some(name.to_owned()));
        assert_eq!(decoder(None).unwrap(), Decoder::Text);
        assert_eq!(decoder(class("org.apache.kafka.tools.api.LongDecoder").as_ref()).unwrap(), Decoder::Long);
        assert!(decoder(class("com.example.Decoder").as_ref()).is_err());
    }
}
