//! Ledgers that were written by the versions before are read as what they say. The files are pinned: nothing writes such any
//! more.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::ledger::{DropWord, EventResult, LedgerReader};

/// The ledger of that version.
fn pinned(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/ledger/older/pinned/version-{version}"))
}

fn intent(stream: u16, index: u64, positions: Range<u64>, resends: Range<u64>, released: u64) -> Record {
    let request = Request { stream: StreamId(stream), index, positions, resends, only: None, retry: None };
    Record::Intent(Intent { request, released: Duration::from_micros(released) })
}

fn outcome(stream: u16, index: u64, attempt: u32, (sent, waited): (u64, u64), answer: Answer) -> Record {
    Record::Outcome(Outcome {
        stream: StreamId(stream),
        index,
        attempt,
        sent: Duration::from_micros(sent),
        answered: Duration::from_micros(sent + waited),
        answer,
    })
}

fn usual() -> Answer {
    Answer::Reply { status: 200, excerpt: String::new() }
}

/// What the pinned ledgers of versions 5 and 6 say, block by block.
fn blocks(drop: DropWord) -> Vec<Vec<Record>> {
    let mut again = intent(0, 1, 1..2, 0..1, 260_000);
    if let Record::Intent(intent) = &mut again {
        let (due, built) = (Duration::from_millis(1), Duration::from_millis(259));
        intent.request.retry = Some(Retry { attempt: 2, due, built });
        intent.request.only = Some([5, 9].into());
    }
    let results = vec![(5, EventResult::Retry), (9, EventResult::Drop(drop))];
    let later = Answer::Reply { status: 503, excerpt: "later".into() };
    vec![
        vec![intent(0, 0, 0..1, 0..0, 150), intent(0, 1, 1..2, 0..1, 150), intent(0, 2, 2..3, 1..2, 150)],
        vec![outcome(0, 0, 1, (240, 3_000), usual()), intent(0, 3, 3..4, 2..3, 5_120)],
        vec![outcome(0, 2, 1, (250, 21_000), usual()), intent(3, 7, 700..800, 0..0, 10_030)],
        vec![outcome(0, 1, 1, (300, 9_000), Answer::Results { exceptions: results, complete: true }), again],
        vec![outcome(3, 7, 1, (10_100, 900), later), outcome(7, 9, 4, (70, 5_000), Answer::TimedOut)],
        vec![outcome(0, 1, 2, (260_050, 70), Answer::NeverLeft { error: "refused".into() }), Record::End(End::Stopped)],
    ]
}

/// What that of version 3 says, in which each block stands alone.
fn alone() -> Vec<Vec<Record>> {
    vec![
        vec![intent(0, 7, 7..8, 3..5, 7_000), intent(0, 8, 8..9, 0..0, 8_000)],
        vec![outcome(0, 7, 1, (7_100, 900), usual()), intent(2, 9, 9..19, 0..0, 9_000)],
        vec![
            outcome(0, 8, 1, (8_100, 30_000_000), Answer::TimedOut),
            outcome(2, 9, 1, (9_100, 50), Answer::Broken { error: "reset".into() }),
            Record::End(End::Complete),
        ],
    ]
}

#[test]
fn older_versions_are_read() {
    for (version, blocks) in
        [(3, alone()), (5, blocks(DropWord::OTHER)), (6, blocks(DropWord::of("billing_limit_exceeded")))]
    {
        let read: Result<Vec<Record>, _> = LedgerReader::open(&pinned(version)).unwrap().collect();
        assert_eq!(read.unwrap(), blocks.concat(), "version {version}");
    }
}

#[test]
fn an_older_version_is_read_up_to_a_cut_and_refused_where_it_is_damaged() {
    let blocks = blocks(DropWord::of("billing_limit_exceeded"));
    let (folder, bytes) = (tempfile::tempdir().unwrap(), std::fs::read(pinned(6)).unwrap());
    let path = folder.path().join("ledger");
    for cut in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let read: Vec<Record> = LedgerReader::open(&path).unwrap().map(Result::unwrap).collect();
        assert!((0..=blocks.len()).any(|whole| read == blocks[..whole].concat()), "cut at {cut}: {read:?}");
    }
    let mut damaged = bytes;
    damaged[40] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    assert!(LedgerReader::open(&path).unwrap().any(|record| record.is_err()));
}

proptest! {
    #[test]
    fn it_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode(&mut Before::default(), &bytes);
        let _ = decode(&mut Before::alone(), &bytes);
    }
}
