//! All that the files tell of the ids of one part.

use std::collections::{HashMap, hash_map::Entry};

use super::{
    ReadsFile, RowsFile, SentFile,
    examples::Place,
    line::FileError,
    parts::records,
    reads::SeenId,
    requests::Local,
    rows::Row,
    sent::{Attempt, Contradiction, SentId},
};

/// The bytes of a part of each file.
#[derive(Debug)]
pub(super) struct Bytes {
    sent: Vec<u8>,
    rows: Vec<u8>,
    reads: Vec<u8>,
}

impl Bytes {
    /// The bytes of one part.
    ///
    /// # Errors
    /// When they were put aside and cannot be read.
    pub fn take(
        part: usize,
        sent: &SentFile,
        rows: Option<&RowsFile>,
        reads: Option<&ReadsFile>,
    ) -> Result<Self, FileError> {
        Ok(Self {
            sent: sent.attempts.part(part)?,
            rows: rows.map_or(Ok(Vec::new()), |rows| rows.by_id.part(part))?,
            reads: reads.map_or(Ok(Vec::new()), |reads| reads.seen.part(part))?,
        })
    }
}

/// The ids of one part.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    numbers: HashMap<&'a str, u32>,
    pub ids: Vec<Known<'a>>,
    pub requests: Local<'a>,
    /// Attempts of unknown outcome: the request, and the id, by their numbers.
    pub indeterminate: Vec<(u32, u32)>,
    /// Ids that nobody has sent, and where each stands first.
    pub strangers: HashMap<&'a str, Place>,
    /// The first attempt that contradicts an earlier one; nothing is to be judged then.
    pub contradiction: Option<Contradiction>,
}

/// All that is known of one id.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub sent: SentId<'a>,
    /// The rows that stay, in their order.
    pub rows: Vec<Row<'a>>,
    /// The reads that saw it, by their places, in ascending order.
    pub seen_by: Vec<u32>,
}

impl<'a> Part<'a> {
    /// Puts together what `bytes` hold.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn gather(bytes: &'a Bytes, reads: Option<&ReadsFile>) -> Result<Self, FileError> {
        let mut part = Self::default();
        for attempt in records::<Attempt<'a>>(&bytes.sent) {
            part.attempt(attempt?);
        }
        for row in records::<Row<'a>>(&bytes.rows) {
            part.row(row?);
        }
        for seen in records::<SeenId<'a>>(&bytes.reads) {
            if let Some(reads) = reads {
                part.seen(&seen?, reads);
            }
        }
        for known in &mut part.ids {
            // Those with a key have come by their keys, and reads by their lines.
            known.rows.sort_unstable_by_key(|row| row.line);
            known.seen_by.sort_unstable();
            known.seen_by.dedup();
        }
        Ok(part)
    }

    fn attempt(&mut self, attempt: Attempt<'a>) {
        let number = *self.numbers.entry(attempt.id).or_insert_with(|| {
            self.ids.push(Known { sent: SentId::new(&attempt), rows: Vec::new(), seen_by: Vec::new() });
            self.ids.len() as u32 - 1
        });
        let request = attempt.request.map(|name| self.requests.number(name));
        if let Some(request) = request.filter(|_| attempt.is_indeterminate()) {
            self.indeterminate.push((request, number));
        }
        let folded = self.ids[number as usize].sent.fold(attempt, request);
        self.contradiction = self.contradiction.or(folded.err());
    }

    fn row(&mut self, row: Row<'a>) {
        match self.numbers.get(row.id) {
            Some(number) if !row.removed => self.ids[*number as usize].rows.push(row),
            Some(_) => {}
            None => self.stranger(row.id, (1, row.line, 0)),
        }
    }

    fn seen(&mut self, seen: &SeenId<'a>, reads: &ReadsFile) {
        match self.numbers.get(seen.id) {
            Some(number) => self.ids[*number as usize].seen_by.push(reads.place(seen)),
            None => {
                let (line, place) = seen.place();
                self.stranger(seen.id, (2, line, place));
            }
        }
    }

    fn stranger(&mut self, id: &'a str, place: Place) {
        match self.strangers.entry(id) {
            Entry::Vacant(first) => {
                first.insert(place);
            }
            Entry::Occupied(mut first) => {
                let place = place.min(*first.get());
                first.insert(place);
            }
        }
    }
}

impl Known<'_> {
    /// Whether any read saw it, the final one among them.
    pub const fn is_seen(&self) -> bool {
        !self.rows.is_empty() || !self.seen_by.is_empty()
    }
}
