//! Types, values and bounds of settings, with the parsing rules and error texts of Kafka
//! (`org.apache.kafka.common.config.ConfigDef`).

use std::fmt;

/// The type of a key, as DescribeConfigs names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Str,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    Password,
}

impl Kind {
    /// Kafka's name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::Str => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        }
    }

    /// The number of the type in DescribeConfigs v3 (`ConfigType`).
    pub const fn wire_id(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::Str => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }

    /// Reads `text` as a value of this type. White space around it is dropped, except for STRING and PASSWORD.
    pub fn parse(self, name: &str, text: &str) -> Result<Value, InvalidConfig> {
        let trimmed = text.trim_matches(|c: char| c <= ' ');
        let not_a_number = || InvalidConfig::value(name, text, format!("Not a number of type {}", self.name()));
        match self {
            Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Kind::Boolean => Err(InvalidConfig::value(name, text, "Expected value to be either true or false")),
            Kind::Str => Ok(Value::Str(text.to_owned())),
            Kind::Class => Ok(Value::Str(trimmed.to_owned())),
            Kind::Password => Ok(Value::Password(Password(text.to_owned()))),
            Kind::Int => trimmed.parse().map(Value::Int).map_err(|_| not_a_number()),
            Kind::Short => trimmed.parse().map(Value::Short).map_err(|_| not_a_number()),
            Kind::Long => trimmed.parse().map(Value::Long).map_err(|_| not_a_number()),
            Kind::Double => parse_java_double(trimmed).map(Value::Double).ok_or_else(not_a_number),
            Kind::List if trimmed.is_empty() => Ok(Value::List(Vec::new())),
            Kind::List => Ok(Value::List(split_list(trimmed))),
        }
    }
}

/// Splits at commas; white space around each comma is dropped, empty elements stay.
fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(|element| element.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']).to_owned()).collect()
}

/// `Double.parseDouble`, without the hexadecimal form.
fn parse_java_double(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let word = matches!(unsigned, "NaN" | "Infinity");
    if !word && !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let digits = if word { text } else { text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text) };
    digits.parse().ok()
}

/// `Double.toString`: at least one digit after the point, exponent form below 10^-3 and from 10^7.
pub fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        let text = format!("{value}");
        return if text.contains('.') { text } else { text + ".0" };
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

/// A secret; prints as `[hidden]`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A parsed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not set, and without default.
    Null,
    Boolean(bool),
    Int(i32),
    Short(i16),
    Long(i64),
    Double(f64),
    /// STRING and CLASS.
    Str(String),
    List(Vec<String>),
    Password(Password),
}

impl Value {
    /// The canonical text, as Kafka shows a parsed value; `None` for null.
    pub fn render(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Boolean(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Short(value) => value.to_string(),
            Value::Long(value) => value.to_string(),
            Value::Double(value) => java_double(*value),
            Value::Str(value) => value.clone(),
            Value::List(values) => values.join(","),
            Value::Password(value) => value.to_string(),
        })
    }

    /// Whole numbers of any width.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Value::Int(value) => Some(value.into()),
            Value::Short(value) => Some(value.into()),
            Value::Long(value) => Some(value),
            _ => None,
        }
    }
}

/// The values that a key accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    /// All of its type.
    Any,
    /// Not below.
    AtLeast(i64),
    /// Neither below the first nor above the second.
    Between(i64, i64),
    /// From 0 to 1.
    Fraction,
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A list of these strings.
    ListOf(&'static [&'static str]),
    /// A release of Kafka, as `3.9` or `3.9-IV0`.
    Release,
    /// `partition:broker` pairs, or `*`.
    ThrottledReplicas,
    NonEmptyString,
    NonNullString,
    NonEmptyList,
    /// As -1 means: take the value of `remote.log.manager.thread.pool.size`.
    RemotePoolSize,
}

impl Valid {
    /// Is `value` allowed? Null always is: a key without default may stay unset.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), InvalidConfig> {
        let refuse = |reason: String| {
            let shown = match value {
                Value::List(elements) => format!("[{}]", elements.join(", ")),
                value => value.render().unwrap_or_default(),
            };
            Err(InvalidConfig::value(name, &shown, reason))
        };
        let one_of = |text: &str, allowed: &[&str]| {
            if allowed.contains(&text) {
                return Ok(());
            }
            Err(InvalidConfig::value(name, text, format!("String must be one of: {}", allowed.join(", "))))
        };
        match (self, value) {
            (_, Value::Null) => Ok(()),
            (Valid::AtLeast(least), value) => match value.as_integer() {
                Some(number) if number < *least => refuse(format!("Value must be at least {least}")),
                _ => Ok(()),
            },
            (Valid::Between(least, most), value) => match value.as_integer() {
                Some(number) if number < *least => refuse(format!("Value must be at least {least}")),
                Some(number) if number > *most => refuse(format!("Value must be no more than {most}")),
                _ => Ok(()),
            },
            (Valid::GzipLevel, Value::Int(level)) if *level != -1 && !(1..=9).contains(level) => {
                refuse("Value must be between 1 and 9 or equal to -1".to_owned())
            }
            (Valid::Fraction, Value::Double(share)) if *share < 0.0 => refuse("Value must be at least 0".to_owned()),
            (Valid::Fraction, Value::Double(share)) if *share > 1.0 => {
                refuse("Value must be no more than 1".to_owned())
            }
            (Valid::OneOf(allowed), Value::Str(text)) => one_of(text, allowed),
            (Valid::ListOf(allowed), Value::List(texts)) => texts.iter().try_for_each(|text| one_of(text, allowed)),
            (Valid::Release, Value::Str(text)) => match text.parse::<super::Release>() {
                Ok(_) => Ok(()),
                Err(error) => refuse(error.to_string()),
            },
            (Valid::ThrottledReplicas, Value::List(entries)) => {
                let wildcard = entries.len() == 1 && entries[0].trim() == "*";
                // Kafka lets empty places pass.
                let pair = |entry: &String| {
                    entry.is_empty()
                        || entry.trim().split_once(':').is_some_and(|(partition, broker)| {
                            [partition, broker].iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
                        })
                };
                if wildcard || entries.iter().all(pair) {
                    return Ok(());
                }
                refuse(format!("{name} must be the literal '*' or a list of replicas in the following format: {self}"))
            }
            (Valid::NonEmptyString, Value::Str(text)) if text.trim().is_empty() => {
                refuse("String must be non-empty".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The bounds as Kafka's documentation prints them.
impl fmt::Display for Valid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Valid::Any => Ok(()),
            Valid::AtLeast(least) => write!(f, "[{least},...]"),
            Valid::Between(least, most) => write!(f, "[{least},...,{most}]"),
            Valid::Fraction => f.write_str("[0,...,1]"),
            Valid::GzipLevel => f.write_str("[1,...,9] or -1"),
            Valid::OneOf(allowed) | Valid::ListOf(allowed) => write!(f, "[{}]", allowed.join(", ")),
            Valid::Release => write!(f, "[{}]", super::release::ALL.join(", ")),
            Valid::ThrottledReplicas => f.write_str("[partitionId]:[brokerId],[partitionId]:[brokerId],..."),
            Valid::NonEmptyString => f.write_str("non-empty string"),
            Valid::NonNullString => f.write_str("non-null string"),
            Valid::NonEmptyList => f.write_str("non-empty list"),
            Valid::RemotePoolSize => f.write_str(
                "The default value of -1 means that this will be set to the configured value of \
                 remote.log.manager.thread.pool.size, if available; otherwise, it defaults to 10.",
            ),
        }
    }
}

/// A value that a key does not accept; the texts are those of Kafka's `ConfigException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    Value { name: String, value: String, reason: String },
    #[error("Unknown topic config name: {0}")]
    UnknownName(String),
    /// Values that are fine alone but not together, or a key that must not be set here.
    #[error("{0}")]
    Conflict(String),
    /// A value that a broker with these settings cannot serve.
    #[error("{0}")]
    Unable(String),
}

impl InvalidConfig {
    pub fn value(name: &str, value: &str, reason: impl Into<String>) -> InvalidConfig {
        InvalidConfig::Value { name: name.to_owned(), value: value.to_owned(), reason: reason.into() }
    }
}

/// How much a key matters, by Kafka's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    High,
    Medium,
    Low,
}

impl Importance {
    pub const fn name(self) -> &'static str {
        match self {
            Importance::High => "HIGH",
            Importance::Medium => "MEDIUM",
            Importance::Low => "LOW",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        let text = |kind: Kind, text| kind.parse("k", text).map(|v| v.render());
        assert_eq!(text(Kind::Int, " +7 "), Ok(Some("7".into())));
        assert_eq!(
            text(Kind::Long, "x").unwrap_err().to_string(),
            "Invalid value x for configuration k: Not a number of type LONG"
        );
        assert!(text(Kind::Int, "2147483648").is_err() && text(Kind::Short, "32768").is_err());
        assert_eq!(text(Kind::Boolean, "TRUE"), Ok(Some("true".into())));
        assert!(text(Kind::Boolean, "yes").is_err());
        assert_eq!(text(Kind::List, " a , b,,c "), Ok(Some("a,b,,c".into())));
        for (given, shown) in
            [("0.5", "0.5"), ("1", "1.0"), ("1e7", "1.0E7"), ("1d", "1.0"), ("0.0001", "1.0E-4"), ("NaN", "NaN")]
        {
            assert_eq!(text(Kind::Double, given), Ok(Some(shown.into())), "{given}");
        }
        assert!(text(Kind::Double, "inf").is_err() && text(Kind::Double, "d").is_err());
        assert_eq!(java_double(f64::MAX), "1.7976931348623157E308");
    }

    #[test]
    fn a_password_never_prints() {
        let value = Kind::Password.parse("k", "secret").unwrap();
        assert!(!format!("{value:?}{:?}", value.render()).contains("secret"));
    }
}
