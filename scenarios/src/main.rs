//! The `assay` command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("serve") => {
            let role = arguments.get(2).map(|role| role.to_string_lossy().into_owned()).unwrap_or_default();
            testenv::role::serve(&role, arguments.get(3..).unwrap_or_default())
        }
        _ => ExitCode::from(64),
    }
}
