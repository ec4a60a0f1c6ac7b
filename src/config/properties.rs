//! The text form of `java.util.Properties`, in which `server.properties` is written.
//!
//! - A line is `key=value`, `key:value` or `key value`; white space around the separator and before the key is dropped,
//!   white space after the value stays.
//! - `#` and `!` begin a comment line. A backslash at the end joins the next line, without its leading white space.
//! - `\t`, `\n`, `\r`, `\f` and `\uXXXX` are escapes; before any other character the backslash vanishes.
//! - Bytes are ISO 8859-1, unless the whole file is valid UTF-8, where Kafka would read rubbish.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a property was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file; the first line has the number 1.
    File(PathBuf, usize),
    /// An option `--override`.
    Override,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Override => f.write_str("--override"),
        }
    }
}

/// Why properties could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesError {
    #[error("{path}: {error}. Give the path of a server.properties that this user may read")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{origin}: malformed \\uXXXX: four hexadecimal digits must follow \\u")]
    Unicode { origin: Origin },
    #[error("--override {0}: the form is KEY=VALUE")]
    Override(String),
}

/// Properties, with the place of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesFile {
    entries: BTreeMap<String, (String, Origin)>,
}

impl PropertiesFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<PropertiesFile, PropertiesError> {
        let bytes = std::fs::read(path).map_err(|error| PropertiesError::Io { path: path.to_owned(), error })?;
        PropertiesFile::parse(&bytes, path)
    }

    /// Reads the bytes of a file; `path` is only for messages. A key that stands twice has its last value.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<PropertiesFile, PropertiesError> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
        let mut entries = BTreeMap::new();
        for (number, line) in logical_lines(&text) {
            let origin = Origin::File(path.to_owned(), number);
            let (key, value) = split(&line);
            let unescaped = |text| unescape(text).ok_or_else(|| PropertiesError::Unicode { origin: origin.clone() });
            entries.insert(unescaped(key)?, (unescaped(value)?, origin.clone()));
        }
        Ok(PropertiesFile { entries })
    }

    /// Applies `KEY=VALUE` of an option; it wins over the file.
    pub fn set_override(&mut self, text: &str) -> Result<(), PropertiesError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                self.entries.insert(key.trim().to_owned(), (value.to_owned(), Origin::Override));
                Ok(())
            }
            _ => Err(PropertiesError::Override(text.to_owned())),
        }
    }

    /// Where a key was set.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entries.get(key).map(|(_, origin)| origin)
    }

    /// The properties alone.
    pub fn properties(&self) -> BTreeMap<String, String> {
        self.entries.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Lines without comments and blank ones, continuations joined; with the number of the first natural line of each.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, natural) in unified.split('\n').enumerate() {
        let content = natural.trim_start_matches(is_space);
        if !open && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = content.chars().rev().take_while(|&c| c == '\\').count();
        let continues = backslashes % 2 == 1;
        let content = if continues { &content[..content.len() - 1] } else { content };
        match lines.last_mut() {
            Some((_, line)) if open => line.push_str(content),
            _ => lines.push((index + 1, content.to_owned())),
        }
        open = continues;
    }
    // A lone backslash before the end of the file leaves an empty line.
    lines.retain(|(_, line)| !line.is_empty());
    lines
}

/// Splits a line at the first separator that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let found = !escaped && (is_space(c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        found
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_space);
    (key, rest.strip_prefix(['=', ':']).map_or(rest, |value| value.trim_start_matches(is_space)))
}

/// Resolves the escapes; `None` if a `\u` has no four digits. Surrogate pairs make one character.
fn unescape(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    let digits = chars.as_str().get(..4)?;
                    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return None;
                    }
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    chars = chars.as_str()[4..].chars();
                    continue;
                }
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> BTreeMap<String, String> {
        PropertiesFile::parse(text.as_bytes(), Path::new("f")).unwrap().properties()
    }

    fn pairs(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn separators_comments_and_spaces() {
        let text = "# c\n ! c\n\n a = 1 \nb:2\nc 3\nd\t:\t= 4\ne\n=f\r\ng=h=i\rj=#k\n";
        let expected =
            [("", "f"), ("a", "1 "), ("b", "2"), ("c", "3"), ("d", "= 4"), ("e", ""), ("g", "h=i"), ("j", "#k")];
        assert_eq!(parse(text), pairs(&expected));
    }

    #[test]
    fn escapes_and_continuations() {
        let text = "a=1,\\\n    2,\\\n#3\nb\\ c\\=d=\\tx\\\\\ne=\\u00e9\\uD83D\\uDE00\\z\nf=x\\\\\ng=y\\";
        let expected = [("a", "1,2,#3"), ("b c=d", "\tx\\"), ("e", "é😀z"), ("f", "x\\"), ("g", "y")];
        assert_eq!(parse(text), pairs(&expected));
        let error = PropertiesFile::parse(b"a=1\nb=\\u12x4", Path::new("f")).unwrap_err();
        assert!(error.to_string().starts_with("f:2: malformed"), "{error}");
        assert!(PropertiesFile::parse("a=\\u00é".as_bytes(), Path::new("f")).is_err());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin_1_and_the_last_value_wins() {
        let file = PropertiesFile::parse(b"a=\xe9\na=\xe8", Path::new("f")).unwrap();
        assert_eq!(file.properties(), pairs(&[("a", "è")]));
        assert_eq!(file.origin("a"), Some(&Origin::File("f".into(), 2)));
    }

    #[test]
    fn overrides_win() {
        let mut file = PropertiesFile::parse(b"a=1", Path::new("f")).unwrap();
        file.set_override("a=2=3").unwrap();
        assert_eq!(file.properties(), pairs(&[("a", "2=3")]));
        assert_eq!(file.origin("a").unwrap().to_string(), "--override");
        assert!(file.set_override("a").is_err() && file.set_override("=1").is_err());
    }
}
