//! The schema says what Kafka's own protocol definition says: APIs, versions, and each field.

#[path = "../build/messages.rs"]
#[allow(dead_code, reason = "the printer is not needed here")]
mod schema;

use std::collections::BTreeMap;
use std::path::Path;

use barnabas::wire::ApiKey;
use schema::{Base, Module, Versions};

/// API key -> name, first and last version, from the listing of a live broker.
fn offered() -> BTreeMap<i16, (String, i16, i16)> {
    let listing = include_str!("golden/wire/api-versions-3.9.1.txt");
    let entry = |line: &str| {
        let (name, rest) = line.trim().split_once('(')?;
        let (key, rest) = rest.split_once("): ")?;
        let (versions, _) = rest.split_once(" [usable")?;
        let (first, last) = versions.split_once(" to ").unwrap_or((versions, versions));
        Some((key.parse().ok()?, (name.to_owned(), first.parse().ok()?, last.parse().ok()?)))
    };
    listing.lines().filter_map(entry).collect()
}

/// The columns of `fields.tsv`; those behind `tag` are not used.
struct Golden<'a> {
    key: &'a str,
    message: &'a str,
    kind: &'a str,
    valid: &'a str,
    flexible: &'a str,
    path: &'a str,
    type_name: &'a str,
    versions: &'a str,
    null: &'a str,
    default: &'a str,
    tag: &'a str,
}

fn golden_fields() -> Vec<Golden<'static>> {
    include_str!("golden/wire/fields.tsv")
        .lines()
        .skip(1)
        .map(|line| {
            let [key, message, kind, valid, flexible, path, type_name, versions, null, default, tag, ..] =
                line.split('\t').collect::<Vec<_>>()[..]
            else {
                panic!("too few columns: {line}");
            };
            let default = default.trim_matches('"');
            Golden { key, message, kind, valid, flexible, path, type_name, versions, null, default, tag }
        })
        .collect()
}

fn load() -> Vec<Module> {
    schema::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")).unwrap()
}

/// `3+`, `0-7` or `5` within other versions; none if it is empty.
fn within(text: &str, outer: Versions) -> Option<Versions> {
    let number = |text: &str| text.parse::<i16>().ok();
    let (first, last) = match (text.strip_suffix('+'), text.split_once('-')) {
        (Some(first), _) => (number(first)?, outer.1),
        (None, Some((first, last))) => (number(first)?, number(last)?),
        (None, None) => (number(text)?, number(text)?),
    };
    overlap((first, last), outer)
}

fn overlap(a: Versions, b: Versions) -> Option<Versions> {
    let both = (a.0.max(b.0), a.1.min(b.1));
    (both.0 <= both.1).then_some(both)
}

#[test]
fn apis_are_those_of_a_zookeeper_broker() {
    let ours: BTreeMap<_, _> = ApiKey::ALL
        .iter()
        .map(|api| (api.key(), (api.name().to_owned(), *api.versions().start(), *api.versions().end())))
        .collect();
    assert_eq!(ours, offered());
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::from_key(api.key()), Some(*api));
        assert!(api.schema().contains(&format!("api {} {}", api.key(), api.name())));
    }
    assert_eq!(ApiKey::from_key(55), None, "DescribeQuorum is not for brokers with ZooKeeper");
}

#[test]
fn flexible_versions_are_kafkas() {
    for field in golden_fields().iter().filter(|field| field.kind == "request") {
        let Some(api) = ApiKey::from_key(field.key.parse().unwrap()) else { continue };
        let flexible = (field.flexible != "none").then(|| field.flexible.trim_end_matches('+').parse().unwrap());
        assert_eq!(api.flexible_from(), flexible, "{api}");
        assert_eq!(within(field.valid, (0, i16::MAX)), Some((*api.versions().start(), *api.versions().end())), "{api}");
    }
}

#[test]
fn every_field_is_kafkas() {
    let modules = load();
    let mut seen = BTreeMap::<String, usize>::new();
    for golden in golden_fields() {
        let name = golden.message.trim_end_matches("Request").trim_end_matches("Response");
        let Some(module) = modules.iter().find(|m| m.name == name) else { continue };
        let root = match golden.kind {
            "request" => "Request",
            "response" => "Response",
            "data" => "Data",
            _ => continue,
        };
        compare(module, root, &golden);
        *seen.entry(format!("{}::{root}", module.rust_name())).or_default() += 1;
    }
    assert!(seen.values().sum::<usize>() > 1000);
    for module in &modules {
        let structs = |root: &str| count(module, root);
        for root in ["Request", "Response", "Data"].iter().filter(|root| module.find(root).is_some()) {
            let path = format!("{}::{root}", module.rust_name());
            // Records of group and transaction logs are defined elsewhere in Kafka.
            if !module.file.ends_with("_log.messages") {
                assert_eq!(seen.get(&path).copied().unwrap_or(0), structs(root), "number of fields of {path}");
            }
        }
    }
}

/// Number of fields below a struct.
fn count(module: &Module, name: &str) -> usize {
    let below = |field: &schema::Field| match &field.base {
        Base::Struct(name) => 1 + count(module, name),
        _ => 1,
    };
    module.find(name).unwrap().fields.iter().map(below).sum()
}

fn compare(module: &Module, root: &str, golden: &Golden) {
    let place = format!("{} {} {}", module.file, root, golden.path);
    let (mut current, mut effective, mut field) = (root, module.versions, None);
    for step in golden.path.split('.') {
        let name = snake_case(step.trim_end_matches("[]"));
        let found = module.find(current).unwrap().fields.iter().find(|f| f.name == name);
        let found = found.unwrap_or_else(|| panic!("{place}: no {name}"));
        if let Base::Struct(name) = &found.base {
            current = name;
        }
        if field.is_some() {
            effective = overlap(effective, parent_versions(field)).unwrap();
        }
        field = Some(found);
    }
    let field = field.unwrap();
    let type_name = golden.type_name.trim_start_matches("[]");
    let ours = match &field.base {
        Base::Bool => "bool".to_owned(),
        Base::Number(name) if name == "f64" => "float64".to_owned(),
        Base::Number(name) => name.replace('i', "int").replace('u', "uint"),
        Base::Uuid => "uuid".to_owned(),
        Base::String => "string".to_owned(),
        Base::Bytes => "bytes".to_owned(),
        Base::Records => "records".to_owned(),
        // Where request and response have different structs of one name, the response's has a prefix.
        Base::Struct(name) if golden.kind == "response" && name != type_name => name.replacen("Response", "", 1),
        Base::Struct(name) => name.clone(),
    };
    assert_eq!((ours.as_str(), field.array), (type_name, golden.type_name.starts_with("[]")), "{place}");
    let versions = within(golden.versions, effective);
    assert_eq!(overlap(field.versions, effective), versions, "{place}: versions");
    // A struct used in two places may have fields that belong to the other one.
    let Some(versions) = versions else { return };
    if field.base != Base::Records {
        assert_eq!(field.null.and_then(|null| overlap(null, versions)), within(golden.null, versions), "{place}: null");
    }
    let plain = |default: &str| match default {
        "" | "default" | "false" => "0".to_owned(),
        other => other.to_owned(),
    };
    assert_eq!(plain(field.default.as_deref().unwrap_or("")), plain(golden.default), "{place}: default");
    assert_eq!(field.tag.map_or(String::new(), |tag| tag.to_string()), golden.tag, "{place}: tag");
}

fn parent_versions(field: Option<&schema::Field>) -> Versions {
    field.map_or((0, i16::MAX), |field| field.versions)
}

fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, c) in letters.iter().enumerate() {
        let after_lower = i > 0 && !letters[i - 1].is_ascii_uppercase();
        let before_lower = i > 0 && letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && (after_lower || before_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[test]
fn mistakes_are_reported_with_their_line() {
    let api = "api 1 Fetch  versions 0-17  flexible 12+\n";
    for (body, reason) in [
        ("request\n  topic strin\n", "t:3: unknown type `strin`"),
        ("request\n  topic string 3-\n", "t:3: `3-` is not a range of versions"),
        ("request\n  topic string 9-3\n", "t:3: `9-3` is an empty range of versions"),
        ("request\n    topic string\n", "t:3: indented too far: no new struct in the line above"),
        ("request\n  topics [Topic]\nresponse\n", "t:3: `topics`: struct Topic has no fields"),
        ("request\n  a i32\n  a i32\n", "t:4: `a` appears twice"),
        ("request\n  a i32  tag 0\n", "t:3: a tag needs a flexible version"),
        ("  a i32\n", "t:2: a field without `request` or `response` above"),
        ("request\n  a string = null\n", "t:3: `a`: default null of a type that is never null"),
    ] {
        assert_eq!(schema::parse("t", &format!("{api}{body}")).unwrap_err(), reason);
    }
    assert_eq!(schema::parse("t", "api x Fetch").unwrap_err(), "t:1: `x` is not an API key");
}
