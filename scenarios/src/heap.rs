//! A heap of the C libraries that stays what it is over days; Rust's own is another one (`main.rs`).
//!
//! The GNU C library gives threads heaps of their own ("arenas", up to eight for each processor), and what one of them has
//! ever held it rarely gives back. A soak starts and ends threads with every window, Kafka's client library among them, and
//! with one heap for all of them it does not grow.

#![cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "the C library's own switch"))]

/// Lets all threads that are still to come use one heap; before any is started.
pub fn share() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt(3) takes two numbers, and no other thread is there to allocate meanwhile. A refusal leaves what there
        // was.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}
