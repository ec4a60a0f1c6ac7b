//! Prints the modules of the schema as Rust: plain structs with `read`, `write` and Kafka's defaults.

use std::fmt::Write as _;

use super::{Base, Field, Module, Struct, Versions};

/// The text of `messages.rs`.
pub fn print(modules: &[Module]) -> String {
    let mut out = String::from("// Printed by build.rs from schema/*.messages.\n\n");
    let apis: Vec<&Module> = modules.iter().filter(|m| m.key.is_some()).collect();
    print_api_keys(&mut out, &apis);
    for module in modules {
        print_module(&mut out, module);
    }
    print_reencode(&mut out, modules);
    out
}

macro_rules! line {
    ($out:expr, $($text:tt)*) => {
        writeln!($out, $($text)*).expect("writing to a String does not fail")
    };
}

fn print_api_keys(out: &mut String, apis: &[&Module]) {
    line!(out, "/// The APIs of the protocol, under Kafka's names.");
    line!(out, "#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[repr(i16)]\npub enum ApiKey {{");
    for api in apis {
        for doc in &api.docs {
            line!(out, "    /// {doc}");
        }
        line!(out, "    {} = {},", api.name, api.key.unwrap_or_default());
    }
    line!(out, "}}\n\nimpl ApiKey {{\n    /// Every API, by number.\n    pub const ALL: &[ApiKey] = &[");
    for api in apis {
        line!(out, "        ApiKey::{},", api.name);
    }
    line!(out, "    ];\n\n    pub(super) const fn info(self) -> ApiInfo {{\n        match self {{");
    for api in apis {
        let Module { name, versions, flexible, file, .. } = api;
        let module = api.rust_name();
        let schema = format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/schema/{file}\"))");
        line!(out, "            ApiKey::{name} => ApiInfo {{");
        line!(
            out,
            "                name: \"{name}\", module: \"{module}\", versions: {versions:?}, flexible: {flexible:?},"
        );
        line!(out, "                schema: {schema},\n            }},");
    }
    line!(out, "        }}\n    }}\n}}");
}

fn print_module(out: &mut String, module: &Module) {
    let (first, last) = module.versions;
    line!(out, "\n/// {} versions {first} to {last}.", module.name);
    for doc in &module.docs {
        line!(out, "/// {doc}");
    }
    line!(out, "pub mod {} {{\n    use super::*;", module.rust_name());
    for s in &module.structs {
        print_struct(out, module, s);
    }
    if module.key.is_some() {
        line!(out, "\n    impl crate::wire::Request for Request {{");
        line!(out, "        const API: ApiKey = ApiKey::{};\n        type Response = Response;\n    }}", module.name);
    }
    line!(out, "}}");
}

fn print_struct(out: &mut String, module: &Module, s: &Struct) {
    let name = &s.name;
    let derive_default = s.fields.iter().all(|f| default_value(f).is_none());
    line!(out, "\n    #[derive(Clone, Debug, PartialEq{})]", if derive_default { ", Default" } else { "" });
    line!(out, "    pub struct {name} {{");
    for field in &s.fields {
        if let Some(doc) = &field.doc {
            line!(out, "        /// {doc}");
        }
        if field.versions != module.versions {
            line!(out, "        /// Versions {} to {}.", field.versions.0, field.versions.1);
        }
        line!(out, "        pub {}: {},", rust_name(field), rust_type(field));
    }
    line!(out, "    }}");
    if !derive_default {
        line!(out, "\n    impl Default for {name} {{\n        fn default() -> Self {{\n            Self {{");
        for field in &s.fields {
            let value = default_value(field).unwrap_or_else(|| "Default::default()".to_owned());
            line!(out, "                {}: {value},", rust_name(field));
        }
        line!(out, "            }}\n        }}\n    }}");
    }
    line!(out, "\n    impl Message for {name} {{");
    print_read(out, module, s);
    print_write(out, module, s);
    line!(out, "    }}");
}

fn print_read(out: &mut String, module: &Module, s: &Struct) {
    line!(out, "        fn read(r: &mut Reader, version: i16) -> Result<Self, WireError> {{");
    line!(out, "            let flexible = {};", flexible_condition(module));
    line!(out, "            let mut m = Self::default();");
    print_plain(out, module, s, |field| format!("m.{} = {};", rust_name(field), read_expression(field)));
    if module.flexible.is_some() {
        let tagged: Vec<&Field> = s.fields.iter().filter(|f| f.tag.is_some()).collect();
        if tagged.is_empty() {
            line!(out, "            if flexible {{\n                r.skip_tags()?;\n            }}");
        } else {
            line!(
                out,
                "            if flexible {{\n                r.tags(|tag, r| {{\n                    match tag {{"
            );
            for field in tagged {
                let guard = condition(field.versions, module.versions).map_or(String::new(), |c| format!(" if {c}"));
                let tag = field.tag.unwrap_or_default();
                let value = read_expression(field);
                line!(out, "                        {tag}{guard} => m.{} = {value},", rust_name(field));
            }
            line!(out, "                        _ => {{}}\n                    }}\n                    Ok(())");
            line!(out, "                }})?;\n            }}");
        }
    }
    line!(out, "            Ok(m)\n        }}\n");
}

fn print_write(out: &mut String, module: &Module, s: &Struct) {
    line!(out, "        fn write(&self, out: &mut Out, version: i16) -> Result<(), WireError> {{");
    line!(out, "            let flexible = {};", flexible_condition(module));
    print_plain(out, module, s, |field| write_statement(s, field));
    if module.flexible.is_some() {
        let tagged: Vec<&Field> = s.fields.iter().filter(|f| f.tag.is_some()).collect();
        line!(out, "            if flexible {{");
        if tagged.is_empty() {
            line!(out, "                out.put_i8(0);");
        } else {
            line!(out, "                let mut tags = Vec::new();");
            for field in tagged {
                let default = default_value(field).unwrap_or_else(|| "Default::default()".to_owned());
                let also = condition(field.versions, module.versions).map_or(String::new(), |c| format!("{c} && "));
                let (name, ty) = (rust_name(field), rust_type(field));
                let (tag, write) = (field.tag.unwrap_or_default(), write_statement(s, field));
                line!(out, "                if {also}self.{name} != {{ let default: {ty} = {default}; default }} {{");
                line!(out, "                    let out = &mut Out::new();\n                    {write}");
                line!(out, "                    tags.push(({tag}, std::mem::take(out)));\n                }}");
            }
            line!(out, "                out.put_tags(tags);");
        }
        line!(out, "            }}");
    }
    line!(out, "            Ok(())\n        }}");
}

/// A function over all messages by name, so that tests and the fuzz target need no table of their own.
fn print_reencode(out: &mut String, modules: &[Module]) {
    line!(
        out,
        "\n/// Reads the message with this path (`fetch::Request`) and writes it again; `None` if there is none."
    );
    line!(
        out,
        "#[doc(hidden)]\npub fn reencode(path: &str, r: &mut Reader, version: i16) -> Option<Result<Out, WireError>> {{"
    );
    line!(out, "    Some(match path {{");
    for module in modules {
        let roots: &[&str] = if module.key.is_some() { &["Request", "Response"] } else { &["Data"] };
        for root in roots {
            let path = format!("{}::{root}", module.rust_name());
            line!(out, "        \"{path}\" => again::<{path}>(r, version),");
        }
    }
    line!(out, "        _ => return None,\n    }})\n}}");
}

/// One statement for each field without a tag; neighbours that are in the same versions share their `if`.
fn print_plain(out: &mut String, module: &Module, s: &Struct, statement: impl Fn(&Field) -> String) {
    let plain: Vec<&Field> = s.fields.iter().filter(|f| f.tag.is_none()).collect();
    for group in plain.chunk_by(|a, b| a.versions == b.versions) {
        let condition = condition(group[0].versions, module.versions);
        if let Some(condition) = &condition {
            line!(out, "            if {condition} {{");
        }
        let indent = if condition.is_some() { "                " } else { "            " };
        for field in group {
            line!(out, "{indent}{}", statement(field));
        }
        if condition.is_some() {
            line!(out, "            }}");
        }
    }
}

/// The test that a version is in a range; none if every version of `within` is.
fn condition(versions: Versions, within: Versions) -> Option<String> {
    let (first, last) = versions;
    match (first > within.0, last < within.1) {
        (false, false) => None,
        _ if first == last => Some(format!("version == {first}")),
        (true, false) => Some(format!("version >= {first}")),
        (false, true) => Some(format!("version <= {last}")),
        (true, true) => Some(format!("version >= {first} && version <= {last}")),
    }
}

fn flexible_condition(module: &Module) -> String {
    match module.flexible {
        None => "false".to_owned(),
        Some(first) => condition((first, module.versions.1), module.versions).unwrap_or_else(|| "true".to_owned()),
    }
}

fn rust_name(field: &Field) -> String {
    match field.name.as_str() {
        keyword @ ("type" | "match" | "ref" | "use" | "in" | "move") => format!("r#{keyword}"),
        name => name.to_owned(),
    }
}

fn rust_type(field: &Field) -> String {
    let base = match &field.base {
        Base::Bool => "bool",
        Base::Number(name) | Base::Struct(name) => name,
        Base::Uuid => "Uuid",
        Base::String => "Str",
        Base::Bytes => "Bytes",
        Base::Records => "Records",
    };
    let whole = if field.array { format!("Vec<{base}>") } else { base.to_owned() };
    if field.null.is_some() { format!("Option<{whole}>") } else { whole }
}

/// Kafka's default, where Rust's is another. A nullable field without a default is empty, not null.
fn default_value(field: &Field) -> Option<String> {
    match (&field.default, field.null) {
        (Some(null), _) if null == "null" => None,
        (None, Some(_)) => Some("Some(Default::default())".to_owned()),
        (default, _) => default.clone(),
    }
}

/// Is the field null in some, but not all, of its versions? Then the test for it.
fn partly_null(field: &Field) -> Option<String> {
    condition(field.null?, field.versions)
}

fn read_expression(field: &Field) -> String {
    let plain = read_plain(field, false);
    match (field.null, partly_null(field)) {
        (None, _) => plain,
        (Some(_), None) => read_plain(field, true),
        (Some(_), Some(test)) => format!("if {test} {{ {} }} else {{ Some({plain}) }}", read_plain(field, true)),
    }
}

fn read_plain(field: &Field, nullable: bool) -> String {
    let prefix = if nullable { "nullable_" } else { "" };
    if field.array {
        let element = match &field.base {
            Base::Bool => "Reader::bool".to_owned(),
            Base::Number(name) => format!("Reader::{name}"),
            Base::Uuid => "Reader::uuid".to_owned(),
            Base::Struct(name) => format!("|r| {name}::read(r, version)"),
            Base::String | Base::Bytes | Base::Records => format!("|r| r.{}(flexible)", simple_name(&field.base)),
        };
        return format!("r.{prefix}array(flexible, {element})?");
    }
    match &field.base {
        Base::Struct(name) if nullable => format!("r.nullable_struct(|r| {name}::read(r, version))?"),
        Base::Struct(name) => format!("{name}::read(r, version)?"),
        Base::String | Base::Bytes | Base::Records => format!("r.{prefix}{}(flexible)?", simple_name(&field.base)),
        base => format!("r.{}()?", simple_name(base)),
    }
}

fn write_statement(s: &Struct, field: &Field) -> String {
    let value = format!("self.{}", rust_name(field));
    let required = format!("required(&{value}, \"{}.{}\")?", s.name, field.name);
    let plain = |value: &str| write_plain(field, value, false);
    match (field.null, partly_null(field)) {
        (None, _) if matches!(field.base, Base::Bool | Base::Number(_) | Base::Uuid) && !field.array => plain(&value),
        (None, _) => plain(&format!("&{value}")),
        (Some(_), None) => write_plain(field, &format!("{value}.as_ref()"), true),
        (Some(_), Some(test)) => {
            let nullable = write_plain(field, &format!("{value}.as_ref()"), true);
            format!("if {test} {{ {nullable} }} else {{ {} }}", plain(&required))
        }
    }
}

fn write_plain(field: &Field, value: &str, nullable: bool) -> String {
    let prefix = if nullable { "nullable_" } else { "" };
    if field.array {
        let element = match &field.base {
            Base::Struct(_) => "|out, e| e.write(out, version)".to_owned(),
            base @ (Base::String | Base::Bytes | Base::Records) => {
                format!("|out, e| out.put_{}(flexible, e)", simple_name(base))
            }
            base => format!("|out, e| {{ out.put_{}(*e); Ok(()) }}", simple_name(base)),
        };
        return format!("out.put_{prefix}array(flexible, {value}, {element})?;");
    }
    match &field.base {
        Base::Struct(_) if nullable => format!("out.put_nullable_struct({value}, |out, e| e.write(out, version))?;"),
        Base::Struct(_) => format!("({value}).write(out, version)?;"),
        base @ (Base::String | Base::Bytes | Base::Records) => {
            format!("out.put_{prefix}{}(flexible, {value})?;", simple_name(base))
        }
        base => format!("out.put_{}({value});", simple_name(base)),
    }
}

/// What the methods of `Reader` and `Out` for this type are called.
fn simple_name(base: &Base) -> &str {
    match base {
        Base::Bool => "bool",
        Base::Number(name) | Base::Struct(name) => name,
        Base::Uuid => "uuid",
        Base::String => "string",
        Base::Bytes => "bytes",
        Base::Records => "records",
    }
}
