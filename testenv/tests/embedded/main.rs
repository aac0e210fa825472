//! The embedded environment, for real: processes that live and die, Kafka, the ClickHouse engine.
//!
//! The guard starts its children through `assay serve ROLE`. This binary plays those roles itself, so it has a `main` of
//! its own in place of the test harness's; everything else is as with any test binary.
#![expect(clippy::unwrap_used, reason = "tests, which clippy does not see here: the harness is ours")]

mod guard;
mod limits;
mod substrate;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == "serve") {
        let role = arguments.get(2).map(|role| role.to_string_lossy().into_owned()).unwrap_or_default();
        return testenv::role::serve(&role, arguments.get(3..).unwrap_or_default());
    }
    if let [_, word, folder] = arguments.as_slice()
        && word == "own"
    {
        substrate::own(folder.as_ref());
        return ExitCode::SUCCESS;
    }
    let tests: Vec<Trial> = guard::tests().into_iter().chain(substrate::tests()).chain(limits::tests()).collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// A test by its function and name.
macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        vec![$(libtest_mimic::Trial::test(concat!(module_path!(), "::", stringify!($name)), || {
            $name();
            Ok(())
        })),+]
    };
}
pub(crate) use trials;
