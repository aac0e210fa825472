//! Buffers of request bodies, used again: a body of a hundred events is a hundred kilobytes, and fresh pages cost more than
//! what is written on them.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Buf;

/// Buffers that nobody uses.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer, if possible one that was used before.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// A body of these bytes, whose buffer comes back when it is done.
    pub fn body(&self, bytes: Vec<u8>) -> Body {
        Body { bytes, read: 0, home: self.clone() }
    }
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    read: usize,
    home: Buffers,
}

impl Buf for Body {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining(), "behind the end of a body");
        self.read += count;
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_when_its_body_is_done() {
        let buffers = Buffers::default();
        let mut body = buffers.body(b"abc".to_vec());
        body.advance(1);
        assert_eq!((body.chunk(), body.remaining()), (&b"bc"[..], 2));
        drop(body);
        let again = buffers.take();
        assert!(again.is_empty() && again.capacity() >= 3);
        assert_eq!(buffers.take().capacity(), 0);
    }
}
