//! How many files a process may have open, and what that leaves for connections.
//!
//! An open-loop sender holds a connection for every request that waits for its answer. With 1 024 open files, which many
//! machines give a process unless it asks for more, a slow subject would make sends late that are due.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections beyond these would be no help: a subject with so many open requests has fallen behind.
const CONNECTIONS: u64 = 4096;
/// What a run opens beside connections, with room to spare.
const OTHER_FILES: u64 = 128;

/// Asks for as many open files as this process may have. Children inherit it.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves what there was; `connections` follows.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// How many connections a sender may hold.
pub fn connections() -> usize {
    connections_within(getrlimit(Resource::Nofile).current)
}

fn connections_within(open_files: Option<u64>) -> usize {
    let room = open_files.map_or(CONNECTIONS, |files| files.saturating_sub(OTHER_FILES));
    room.clamp(1, CONNECTIONS) as usize
}

#[cfg(test)]
mod tests {
    use super::connections_within;

    #[test]
    fn connections_leave_room_for_other_files() {
        assert_eq!(connections_within(None), 4096);
        assert_eq!(connections_within(Some(20_000)), 4096);
        assert_eq!(connections_within(Some(1_024)), 896);
        assert_eq!(connections_within(Some(64)), 1);
    }
}
