//! Which events some read has seen so far, while a run goes on: a bit each.

use generators::identity::StreamId;

use super::reads::Read;

/// The events seen so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// For each stream a bit for each sequence number.
    streams: Vec<Vec<u64>>,
    count: u64,
    reads: u64,
}

impl Seen {
    /// Adds what a read saw.
    pub fn add(&mut self, read: &Read) {
        self.reads += 1;
        for (stream, seqs) in &read.new {
            let stream = usize::from(stream.0);
            if self.streams.len() <= stream {
                self.streams.resize_with(stream + 1, Vec::new);
            }
            let words = &mut self.streams[stream];
            for seq in seqs {
                let (word, bit) = ((seq / 64) as usize, 1 << (seq % 64));
                if words.len() <= word {
                    words.resize(word + 1, 0);
                }
                self.count += u64::from(words[word] & bit == 0);
                words[word] |= bit;
            }
        }
    }

    /// Whether some read saw the event.
    pub fn has(&self, stream: StreamId, seq: u64) -> bool {
        let word = self.streams.get(usize::from(stream.0)).and_then(|words| words.get((seq / 64) as usize));
        word.is_some_and(|word| word & 1 << (seq % 64) != 0)
    }

    /// How many events were seen.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many reads there were.
    pub const fn reads(&self) -> u64 {
        self.reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_seen_once() {
        let mut seen = Seen::default();
        for new in [vec![(StreamId(1), vec![3, 64, 3])], vec![(StreamId(1), vec![64, 700])], vec![]] {
            seen.add(&Read { new, ..Read::default() });
        }
        assert_eq!((seen.count(), seen.reads()), (3, 3));
        let has = |stream, seq| seen.has(StreamId(stream), seq);
        assert!(has(1, 3) && has(1, 64) && has(1, 700));
        assert!(!has(1, 4) && !has(1, 0) && !has(0, 3) && !has(1, 100_000) && !has(7, 3));
    }
}
