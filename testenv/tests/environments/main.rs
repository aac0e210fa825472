//! The environments, for real: processes and containers that live and die, Kafka, ClickHouse.
//!
//! The guard starts its children through `assay serve ROLE`. This binary plays those roles itself, so it has a `main` of
//! its own in place of the test harness's; everything else is as with any test binary.
#![expect(clippy::unwrap_used, reason = "tests, which clippy does not see here: the harness is ours")]

mod bench;
mod containers;
mod guard;
mod healer;
mod limits;
mod substrate;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use self::bench::Kind;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == "serve") {
        let role = arguments.get(2).map(|role| role.to_string_lossy().into_owned()).unwrap_or_default();
        return testenv::role::serve(&role, arguments.get(3..).unwrap_or_default());
    }
    if let [_, word, kind, folder] = arguments.as_slice()
        && word == "own"
    {
        let kind = if kind == Kind::Containers.word() { Kind::Containers } else { Kind::Embedded };
        substrate::own(kind, folder.as_ref());
        return ExitCode::SUCCESS;
    }
    let mut tests = guard::tests();
    tests.extend(healer::tests());
    tests.extend(substrate::embedded_tests());
    for kind in Kind::all() {
        tests.extend(substrate::tests(kind).into_iter().chain(limits::tests(kind)));
        if kind == Kind::Containers {
            tests.extend(containers::tests());
        }
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// Tests by their functions' names, each for an environment of a kind if one is given.
macro_rules! trials {
    ($kind:expr; $($name:ident),+ $(,)?) => {{
        let kind = $kind;
        vec![$(libtest_mimic::Trial::test(format!("{}::{}", kind.word(), stringify!($name)), move || {
            $name(kind);
            Ok(())
        })),+]
    }};
    ($($name:ident),+ $(,)?) => {
        vec![$(libtest_mimic::Trial::test(concat!(module_path!(), "::", stringify!($name)), || {
            $name();
            Ok(())
        })),+]
    };
}
pub(crate) use trials;
