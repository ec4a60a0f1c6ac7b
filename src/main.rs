//! `barnabas`: argument parsing, then one call.

fn main() -> std::process::ExitCode {
    barnabas::cli::main()
}
