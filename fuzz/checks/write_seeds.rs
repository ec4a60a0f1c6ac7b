//! Writes the first inputs of all targets: `write_seeds GOLDEN CORPUS` makes `CORPUS/<target>/seed-<n>`.

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [golden, corpus] = &arguments[..] else { panic!("usage: write_seeds GOLDEN CORPUS") };
    for (target, inputs) in barnabas_fuzz::seeds::seeds(Path::new(golden)) {
        let directory = Path::new(corpus).join(target);
        std::fs::create_dir_all(&directory).expect("a directory for the corpus");
        for (n, input) in inputs.iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{n}")), input).expect("a file of the corpus");
        }
    }
}
