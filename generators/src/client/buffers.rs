//! Buffers of request bodies, used again: a body of a hundred events is a hundred kilobytes, and fresh pages cost more than
//! what is written on them.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that nobody uses.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer, if possible one that was used before.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes back a buffer that nobody uses any more.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty() {
        let buffers = Buffers::default();
        buffers.give(b"abc".to_vec());
        let again = buffers.take();
        assert!(again.is_empty() && again.capacity() >= 3);
        assert_eq!(buffers.take().capacity(), 0);
    }
}
