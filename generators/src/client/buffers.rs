//! Buffers of request bodies, used again: a body of a hundred events is a hundred kilobytes, and fresh pages cost more than
//! what is written on them.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers of more bytes are not kept: there would be as many of them in the end as there are connections.
const KEPT: usize = 4 << 20;

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
        if buffer.capacity() > KEPT {
            return;
        }
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
        buffers.give(Vec::with_capacity(KEPT + 1));
        assert_eq!(buffers.take().capacity(), 0, "what is large is not kept");
    }
}
