//! Prints the protocol's structs from `schema/*.messages`.

#[path = "build/messages.rs"]
mod messages;

use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-changed=build");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo names the package's directory"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo names the output directory"));
    match messages::load(&root.join("schema")) {
        Ok(modules) => write_if_changed(&out.join("messages.rs"), &messages::print(&modules)),
        Err(reason) => {
            eprintln!("error: {reason}");
            process::exit(1);
        }
    }
}

/// Leaves an equal file alone, so that nothing is compiled again after an edit of a comment.
fn write_if_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
