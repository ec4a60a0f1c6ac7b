//! The edges of the architecture, held by reading the sources: what may name what, and how long a file may be.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Files that are values and functions only, without runtime, sockets, files and clocks.
const PURE: &[&str] = &[
    "src/controller/",
    "src/group/machine.rs",
    "src/group/joining.rs",
    "src/txn/machine.rs",
    "src/replica/partition.rs",
    "src/replica/isr.rs",
    "src/replica/fetch_plan.rs",
    "src/replica/fetch_session.rs",
    "src/record/",
    "src/wire/",
    "src/zk/model/",
];
const OUTSIDE_WORLD: &[&str] = &["tokio", "std::net", "std::fs", "SystemTime", "Instant"];

/// Files that await only `src/wait.rs`, so that any executor can poll them; disk and clock come through others.
const WITHOUT_RUNTIME: &[&str] = &["src/api/", "src/replica/", "src/group/", "src/txn/", "src/internal_log.rs"];
const RUNTIME: &[&str] = &["tokio", "std::fs", "SystemTime", "Instant"];

/// The log is a library of plain blocking calls.
const BLOCKING: &[&str] = &["src/log/"];

/// What a file may name although its rule forbids it, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/controller/driver.rs", "tokio", "the shell around the machine"),
    ("src/controller/driver.rs", "Instant", "the machine's timer"),
    ("src/controller/channel.rs", "tokio", "the task that sends to one broker"),
    ("src/controller/handle.rs", "tokio", "the way from the handlers into the driver"),
    ("src/wire/rope.rs", "std::fs", "an answer refers to records in files, which the network part sends"),
    ("src/zk/model/acl.rs", "std::net", "addresses as values: the scheme `ip` compares them"),
];

const LINES: usize = 600;
/// Longer files: lines and the reason.
const LONG: &[(&str, usize, &str)] = &[("src/group/coordinator.rs", 650, "one shell around the group's machine")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the repository, but for what builds and tools leave there; names relative to the root, sorted.
fn files() -> Vec<String> {
    const LEFT_BY_TOOLS: &[&str] = &["target", "node_modules", "__pycache__"];
    let (mut found, mut directories) = (Vec::new(), vec![PathBuf::from(root())]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let kind = entry.file_type().unwrap();
            if name.starts_with('.') || LEFT_BY_TOOLS.contains(&name.as_str()) {
                continue;
            } else if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources(prefixes: &[&str]) -> Vec<String> {
    let wanted = |file: &String| file.ends_with(".rs") && prefixes.iter().any(|prefix| file.starts_with(prefix));
    let sources: Vec<String> = files().into_iter().filter(wanted).collect();
    for prefix in prefixes {
        assert!(sources.iter().any(|file| file.starts_with(prefix)), "{prefix} is no longer there: the rule is stale");
    }
    sources
}

fn text(file: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(root().join(file)).unwrap()).into_owned()
}

/// Does a line of code, without its comment, name `word` as a whole?
fn names(line: &str, word: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let part_of_a_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        !part_of_a_name(code[..at].chars().next_back()) && !part_of_a_name(code[at + word.len()..].chars().next())
    })
}

/// Every line of the sources that names a forbidden word. Uses of exceptions are taken off `unused`.
fn trespasses<'a>(prefixes: &[&str], forbidden: &[&'a str], unused: &mut Vec<(&str, &'a str)>) -> String {
    let mut found = String::new();
    for file in sources(prefixes) {
        for (n, line) in text(&file).lines().enumerate() {
            for word in forbidden.iter().filter(|word| names(line, word)) {
                match EXCEPTIONS.iter().any(|(f, w, _)| *f == file && w == word) {
                    true => unused.retain(|(f, w)| *f != file || w != word),
                    false => writeln!(found, "{file}:{}: {}", n + 1, line.trim()).unwrap(),
                }
            }
        }
    }
    found
}

#[test]
fn every_part_names_only_what_it_may() {
    let mut unused: Vec<(&str, &str)> = EXCEPTIONS.iter().map(|(file, word, _)| (*file, *word)).collect();
    let mut found = trespasses(PURE, OUTSIDE_WORLD, &mut unused);
    found += &trespasses(WITHOUT_RUNTIME, RUNTIME, &mut unused);
    found += &trespasses(BLOCKING, &["tokio"], &mut unused);
    assert!(found.is_empty(), "these lines reach out of their part (docs/architecture.md):\n{found}");
    assert!(unused.is_empty(), "these exceptions are no longer needed: {unused:?}");
}

#[test]
fn words_are_found_in_code_only() {
    assert!(names("use tokio::sync;", "tokio") && names("let t: std::time::Instant;", "Instant"));
    assert!(!names("// as tokio does", "tokio") && !names("Instantly(); tokio_like();", "tokio"));
    assert!(!names("Instantly();", "Instant") && !names("use std::network;", "std::net"));
}

#[test]
fn files_are_short() {
    for file in sources(&["src/"]) {
        let lines = text(&file).lines().count();
        let allowed = LONG.iter().find(|(long, ..)| *long == file).map_or(LINES, |(_, lines, _)| *lines);
        assert!(lines <= allowed, "{file} has {lines} lines, more than {allowed}: split it by subject");
    }
}

#[test]
fn every_api_is_in_the_table() {
    let table = text("src/api/mod.rs");
    const NO_APIS: &[&str] = &["mod", "config_changes", "hints", "prelude"];
    for file in sources(&["src/api/"]) {
        let name = file.trim_start_matches("src/api/").trim_end_matches(".rs");
        assert!(
            NO_APIS.contains(&name) || table.contains(&format!("=> {name}::handle,")),
            "{file} is not in the table of src/api/mod.rs, so nobody can call it"
        );
    }
}

#[test]
fn nothing_is_unfinished_or_of_one_machine() {
    // In two parts each, so that this file does not contain them.
    let forbidden =
        [["/wo", "rk/"], ["/tmp", "/wt"], ["to", "do!("], ["unimple", "mented!("]].map(|parts| parts.concat());
    let mut found = String::new();
    for file in files() {
        for (n, line) in text(&file).lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                writeln!(found, "{file}:{}: {}", n + 1, line.chars().take(200).collect::<String>()).unwrap();
            }
        }
    }
    assert!(found.is_empty(), "{found}");
}
