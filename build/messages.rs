//! The schema language of `schema/*.messages`: parser and printer of Rust, without dependencies.
//!
//! ```text
//! # Comment lines directly above a block become the documentation of its module.
//! api 1 Fetch  versions 0-17  flexible 12+      one API: blocks `request` and `response` follow
//! data GroupMetadataKey  versions 2  flexible never        one internal record
//!   name  type [= default]  [versions]  [tag N]  [# documentation]
//! ```
//! A field whose type begins with a capital letter is a struct; its fields follow, indented by two more spaces, at its
//! first use. `[T]` is an array, `T?` may be null, `T?2-7` may be null in these versions only. A field without versions
//! is in every version of what holds it.

#[path = "printer.rs"]
mod printer;

use std::path::Path;

#[allow(unused_imports, reason = "tests only parse")]
pub use printer::print;

/// An inclusive range of versions.
pub type Versions = (i16, i16);

/// One `api` or `data` block: a Rust module.
#[derive(Debug)]
pub struct Module {
    /// Name of the file, for messages and `include_str!`.
    pub file: String,
    /// Number of the API; none for an internal record.
    pub key: Option<i16>,
    /// Kafka's name: `ListOffsets`.
    pub name: String,
    pub versions: Versions,
    /// First flexible version (KIP-482).
    pub flexible: Option<i16>,
    pub docs: Vec<String>,
    /// `Request` and `Response`, or `Data`, and what they contain; a struct comes after the one that names it first.
    pub structs: Vec<Struct>,
}

#[derive(Debug)]
pub struct Struct {
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub array: bool,
    pub base: Base,
    /// Versions in which null is allowed.
    pub null: Option<Versions>,
    pub default: Option<String>,
    pub versions: Versions,
    pub tag: Option<u32>,
    pub doc: Option<String>,
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    Bool,
    /// A number, by its Rust name.
    Number(String),
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
}

impl Module {
    /// Name of the Rust module: `list_offsets`.
    pub fn rust_name(&self) -> String {
        snake_case(&self.name)
    }

    /// The struct with this name.
    pub fn find(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|s| s.name == name)
    }
}

/// Reads every `*.messages` file of a directory: APIs by number, then internal records by file.
pub fn load(directory: &Path) -> Result<Vec<Module>, String> {
    let entries = std::fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "messages"));
    paths.sort();
    let mut modules: Vec<Module> = Vec::new();
    for path in paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for module in parse(&file, &text)? {
            if let Some(other) =
                modules.iter().find(|m| m.name == module.name || (m.key.is_some() && m.key == module.key))
            {
                return Err(format!("{file}: {} has the name or key of {}", module.name, other.file));
            }
            modules.push(module);
        }
    }
    modules.sort_by_key(|m| (m.key.is_none(), m.key));
    Ok(modules)
}

/// Parses one file; an error reads `file:line: reason`.
pub fn parse(file: &str, text: &str) -> Result<Vec<Module>, String> {
    let mut parser = Parser { file, modules: Vec::new(), open: Vec::new(), docs: Vec::new() };
    for (index, line) in text.lines().enumerate() {
        parser.line(index + 1, line).map_err(|reason| format!("{file}:{}: {reason}", index + 1))?;
    }
    for module in &parser.modules {
        module.check().map_err(|(line, reason)| format!("{file}:{line}: {reason}"))?;
    }
    Ok(parser.modules)
}

struct Parser<'a> {
    file: &'a str,
    modules: Vec<Module>,
    /// Indices of the structs being filled, one for each level of indentation.
    open: Vec<usize>,
    docs: Vec<String>,
}

impl Parser<'_> {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let (code, comment) = line.split_once('#').map_or((line, None), |(code, comment)| (code, Some(comment.trim())));
        let indent = code.len() - code.trim_start_matches(' ').len();
        let words: Vec<&str> = code.split_whitespace().collect();
        match (words.as_slice(), comment) {
            ([], Some(comment)) => self.docs.push(comment.to_owned()),
            ([], None) => self.docs.clear(),
            (["api", key, name, rest @ ..], _) if indent == 0 => {
                let key = key.parse().map_err(|_| format!("`{key}` is not an API key"))?;
                self.module(Some(key), name, rest)?;
            }
            (["data", name, rest @ ..], _) if indent == 0 => {
                self.module(None, name, rest)?;
                self.root("Data")?;
            }
            (["request"], _) if indent == 0 => self.root("Request")?,
            (["response"], _) if indent == 0 => self.root("Response")?,
            (words, comment) => {
                if indent == 0 || indent % 2 != 0 {
                    return Err("fields are indented by two spaces for each level".to_owned());
                }
                self.field(number, indent / 2, words, comment)?;
            }
        }
        Ok(())
    }

    fn module(&mut self, key: Option<i16>, name: &str, rest: &[&str]) -> Result<(), String> {
        let ["versions", versions, "flexible", flexible] = rest else {
            return Err("expected `versions A-B flexible N+`, or `flexible never`".to_owned());
        };
        let versions = range(versions, i16::MAX)?;
        let flexible = if *flexible == "never" { None } else { Some(range(flexible, versions.1)?.0) };
        let docs = std::mem::take(&mut self.docs);
        let (file, name) = (self.file.to_owned(), name.to_owned());
        self.modules.push(Module { file, key, name, versions, flexible, docs, structs: Vec::new() });
        self.open.clear();
        Ok(())
    }

    fn root(&mut self, name: &str) -> Result<(), String> {
        let module = self.modules.last_mut().ok_or("no `api` line above")?;
        if module.key.is_none() == (name != "Data") || module.find(name).is_some() {
            return Err(format!("{name} is out of place"));
        }
        self.open = vec![module.structs.len()];
        module.structs.push(Struct { name: name.to_owned(), fields: Vec::new() });
        Ok(())
    }

    fn field(&mut self, line: usize, level: usize, words: &[&str], comment: Option<&str>) -> Result<(), String> {
        let module = self.modules.last_mut().filter(|_| !self.open.is_empty());
        let module = module.ok_or("a field without `request` or `response` above")?;
        let parent = *self.open.get(level - 1).ok_or("indented too far: no new struct in the line above")?;
        self.open.truncate(level);
        let field = parse_field(words, module.versions, line, comment)?;
        if module.structs[parent].fields.iter().any(|f| f.name == field.name) {
            return Err(format!("`{}` appears twice", field.name));
        }
        if field.tag.is_some() && module.flexible.is_none_or(|flexible| field.versions.0 < flexible) {
            return Err("a tag needs a flexible version".to_owned());
        }
        if let Base::Struct(name) = &field.base
            && module.find(name).is_none()
        {
            self.open.push(module.structs.len());
            module.structs.push(Struct { name: name.clone(), fields: Vec::new() });
        }
        module.structs[parent].fields.push(field);
        Ok(())
    }
}

impl Module {
    fn check(&self) -> Result<(), (usize, String)> {
        for field in self.structs.iter().flat_map(|s| &s.fields) {
            let fail = |reason: &str| Err((field.line, format!("`{}`: {reason}", field.name)));
            if let Base::Struct(name) = &field.base
                && self.find(name).is_none_or(|s| s.fields.is_empty())
            {
                return fail(&format!("struct {name} has no fields"));
            }
            if field.null.is_none() && field.default.as_deref() == Some("null") {
                return fail("default null of a type that is never null");
            }
            if field.null.is_some() && !field.array && matches!(field.base, Base::Bool | Base::Number(_) | Base::Uuid) {
                return fail("a value of fixed size is never null");
            }
            if field.default.is_some() && field.array && field.default.as_deref() != Some("null") {
                return fail("the only default of an array is null");
            }
        }
        Ok(())
    }
}

fn parse_field(words: &[&str], within: Versions, line: usize, comment: Option<&str>) -> Result<Field, String> {
    let [name, kind, rest @ ..] = words else {
        return Err("expected `name type [= default] [versions] [tag N]`".to_owned());
    };
    let (kind, null) = match kind.split_once('?') {
        None => (*kind, None),
        Some((kind, "")) => (kind, Some(within)),
        Some((kind, versions)) => (kind, Some(range(versions, within.1)?)),
    };
    let (array, base) = match kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        Some(element) => (true, element),
        None => (false, kind),
    };
    let doc = comment.map(str::to_owned);
    let mut field = Field {
        name: (*name).to_owned(),
        array,
        base: parse_base(base)?,
        null,
        default: None,
        versions: within,
        tag: None,
        doc,
        line,
    };
    let mut rest = rest;
    loop {
        rest = match rest {
            [] => return Ok(field),
            ["=", default, rest @ ..] if field.default.is_none() => {
                field.default = Some((*default).to_owned());
                rest
            }
            ["tag", tag, rest @ ..] if field.tag.is_none() => {
                field.tag = Some(tag.parse().map_err(|_| format!("`{tag}` is not a tag"))?);
                rest
            }
            [versions, rest @ ..] => {
                field.versions = range(versions, within.1)?;
                if field.versions.0 < within.0 || field.versions.1 > within.1 {
                    return Err(format!("versions {versions} go beyond those of the message"));
                }
                rest
            }
        };
    }
}

fn parse_base(word: &str) -> Result<Base, String> {
    Ok(match word {
        "bool" => Base::Bool,
        "i8" | "i16" | "u16" | "i32" | "u32" | "i64" | "f64" => Base::Number(word.to_owned()),
        "uuid" => Base::Uuid,
        "string" => Base::String,
        "bytes" => Base::Bytes,
        "records" => Base::Records,
        _ if word.starts_with(|c: char| c.is_ascii_uppercase()) => Base::Struct(word.to_owned()),
        _ => return Err(format!("unknown type `{word}`")),
    })
}

/// `3`, `3+` or `3-7`; `last` stands in for the open end.
fn range(text: &str, last: i16) -> Result<Versions, String> {
    let number = |part: &str| part.parse::<i16>().map_err(|_| format!("`{text}` is not a range of versions"));
    let versions = match (text.strip_suffix('+'), text.split_once('-')) {
        (Some(first), _) => (number(first)?, last),
        (None, Some((first, last))) => (number(first)?, number(last)?),
        (None, None) => (number(text)?, number(text)?),
    };
    if versions.0 < 0 || versions.0 > versions.1 {
        return Err(format!("`{text}` is an empty range of versions"));
    }
    Ok(versions)
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
