//! The program: parses its arguments, runs, and ends with an exit code that says why.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollbackd::cli::main()
}
