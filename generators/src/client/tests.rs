//! The sender against a server that answers as it is told.

mod server;
mod tls;

use std::{collections::BTreeMap, path::Path};

use self::server::{Received, Server, ok, results, status};
use super::*;
use crate::{
    identity::StreamId,
    journal::Header,
    ledger::{Answer, EventResult, LedgerReader, Outcome},
    persona::PersonaTable,
    random::Distribution,
    request::{Request, Sending as SendingOf},
    wire::Encoder,
    workload::{ClientFault, ClientFaults, Endpoint, Plan, Profile, Traffic, tests::small},
};

/// A workload of `events` events, four to a request, in no disorder but of the clocks.
fn workload(events: u64, change: impl FnOnce(&mut Traffic)) -> Arc<Workload> {
    let mut plan: Plan = small().plan().clone();
    let traffic = &mut plan.traffic[0];
    (traffic.events, traffic.batch) = (events, (4, 4));
    (traffic.disorder.shuffle, traffic.disorder.resend) = Default::default();
    change(traffic);
    Arc::new(Workload::new(plan, PersonaTable::make(1, 2)))
}

/// What is sent to a server, in a ledger that is kept in a folder.
struct Sending {
    clock: RunClock,
    folder: tempfile::TempDir,
    progress: Arc<SenderProgress>,
    stop: watch::Sender<bool>,
    sender: Sender,
}

impl Sending {
    fn start(workload: Arc<Workload>, target: Target, time_out: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = RunClock::starting_in(Duration::ZERO);
        let header = Header { run: workload.plan().run, start: clock.start() };
        let ledger = LedgerWriter::create(&folder.path().join("ledger"), header).unwrap();
        let (stop, stopped) = watch::channel(false);
        let options = SenderOptions { target, shard: Shard::WHOLE, connections: 8, time_out };
        let progress = Arc::<SenderProgress>::default();
        let started = Sender::start(workload, clock, ledger, options, Arc::clone(&progress), stopped);
        Self { clock, folder, progress, stop, sender: started.unwrap() }
    }

    /// Waits for the end; returns it with the requests in the order in which they left, each with its outcome.
    fn end(self) -> (End, Vec<(Intent, Option<Outcome>)>) {
        let end = self.sender.join().unwrap();
        let records = records(self.folder.path());
        assert_eq!(records.last(), Some(&Record::End(end)));
        let mut outcomes = BTreeMap::new();
        for record in &records {
            if let Record::Outcome(outcome) = record {
                let before = outcomes.insert((outcome.stream, outcome.index, outcome.attempt), outcome.clone());
                assert_eq!(before, None, "an attempt has one outcome");
            }
        }
        let intents = records.into_iter().filter_map(|record| match record {
            Record::Intent(intent) => {
                let key = (intent.request.stream, intent.request.index, intent.request.attempt());
                let outcome = outcomes.remove(&key);
                Some((intent, outcome))
            }
            _ => None,
        });
        (end, intents.collect())
    }
}

fn records(folder: &Path) -> Vec<Record> {
    LedgerReader::open(&folder.join("ledger")).unwrap().map(Result::unwrap).collect()
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn what_was_given_up_is_said_before_the_end_and_nothing_is_where_nothing_was() {
    for end in [End::Complete, End::Stopped] {
        assert_eq!(last_words(end, 0).collect::<Vec<_>>(), [Record::End(end)]);
        assert_eq!(last_words(end, 3_000).collect::<Vec<_>>(), [Record::GivenUp(3_000), Record::End(end)]);
    }
}

#[test]
fn nothing_leaves_before_the_start() {
    let workload = workload(1, |traffic| traffic.batch = (1, 1));
    assert_eq!(workload.due(StreamId(0), 0), Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let clock = RunClock::starting_in(Duration::from_millis(150));
    let server = Server::start(move |_| {
        assert!(clock.elapsed() > Duration::ZERO, "it came before the start");
        ok()
    });
    let header = Header { run: workload.plan().run, start: clock.start() };
    let ledger = LedgerWriter::create(&folder.path().join("ledger"), header).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let options = SenderOptions { target: server.target(), shard: Shard::WHOLE, connections: 4, time_out: LONG };
    let progress = Arc::<SenderProgress>::default();
    let sender = Sender::start(workload, clock, ledger, options, Arc::clone(&progress), stopped).unwrap();
    assert_eq!(sender.join().unwrap(), End::Complete);
    assert_eq!(progress.acked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// What the ledger says makes the very bytes that were sent, target and body, whatever the library.
#[test]
fn the_bytes_of_every_attempt_follow_from_the_ledger() {
    for (profile, endpoint, attempts) in [
        (Profile::Assay, Endpoint::Batch, 1),
        (Profile::PosthogRs, Endpoint::Batch, 3),
        (Profile::PosthogRs, Endpoint::E, 3),
        (Profile::PosthogNode, Endpoint::Batch, 3),
    ] {
        let workload = workload(40, |traffic| {
            traffic.client.profile = profile;
            traffic.endpoint = endpoint;
        });
        // Node waits three seconds for each retry, but none after a batch that was too large.
        let refusal = if profile == Profile::PosthogNode { 413 } else { 503 };
        let server = Server::start(move |request| match (profile, request.events, request.times) {
            (Profile::PosthogNode, 4, _) | (Profile::Assay | Profile::PosthogRs, _, 1 | 2) => status(refusal, ""),
            _ => ok(),
        });
        let sending = Sending::start(Arc::clone(&workload), server.target(), LONG);
        let start = sending.clock.start();
        let (end, sent) = sending.end();
        assert_eq!(end, End::Complete, "{profile:?}");
        if profile == Profile::PosthogNode {
            // A client whose batch was too large makes smaller ones from then on, which were never refused.
            let refused = sent.iter().filter(|(intent, _)| intent.request.seqs(&workload).count() == 4).count();
            assert!(refused >= 4 && sent.len() == 2 * 10 + refused, "{refused} of {}", sent.len());
        } else {
            assert_eq!(sent.len(), 10 * attempts, "{profile:?}");
        }
        let mut encoder = Encoder::default();
        let mut made: Vec<Received> = sent
            .iter()
            .map(|(intent, _)| {
                let bytes = encoder.encode(&workload, &intent.request, start, Vec::new()).unwrap();
                Received { target: bytes.target, body: bytes.body }
            })
            .collect();
        let mut received = server.end();
        made.sort();
        received.sort();
        assert!(made == received, "{profile:?}");
        for (intent, outcome) in &sent {
            let outcome = outcome.as_ref().unwrap();
            let last = intent.request.attempt() == attempts as u32
                || (profile == Profile::PosthogNode && intent.request.seqs(&workload).count() < 4);
            let expected = if last && profile != Profile::Assay { 200 } else { refusal };
            assert!(matches!(outcome.answer, Answer::Reply { status, .. } if status == expected), "{outcome:?}");
            assert!(intent.request.retry.is_none_or(|retry| retry.attempt > 1 || profile == Profile::PosthogNode));
            if let (Some(retry), Profile::PosthogRs) = (intent.request.retry, profile) {
                assert_eq!(retry.built.as_micros(), intent.released.as_micros());
            }
            assert_eq!(intent.request.due(&workload), workload.due(StreamId(0), intent.request.index * 4 + 3));
        }
    }
}

#[test]
fn what_the_plan_has_sent_once_more_leaves_by_itself() {
    let all = crate::random::Share::new(1.0).unwrap();
    let later = |ms| Distribution::Constant { value: Duration::from_millis(ms) };
    for (profile, endpoint) in
        [(Profile::Assay, Endpoint::Batch), (Profile::PosthogJs, Endpoint::E), (Profile::PosthogRs, Endpoint::V1)]
    {
        let workload = workload(40, |traffic| {
            (traffic.client.profile, traffic.endpoint) = (profile, endpoint);
            let disorder = &mut traffic.disorder;
            (disorder.resend, disorder.resend_after) = (all, Some(later(60)));
            (disorder.duplicate_requests, disorder.duplicate_after) = (all, later(20));
        });
        let server = Server::start(|_| ok());
        let sending = Sending::start(Arc::clone(&workload), server.target(), LONG);
        let start = sending.clock.start();
        let (end, sent) = sending.end();
        assert_eq!((end, sent.len()), (End::Complete, 30), "ten requests, each with a duplicate and a second sending");
        let mut encoder = Encoder::default();
        let mut bytes = |intent: &Intent| encoder.encode(&workload, &intent.request, start, Vec::new()).unwrap();
        let mut made: Vec<Received> = sent
            .iter()
            .map(|(intent, _)| bytes(intent))
            .map(|bytes| Received { target: bytes.target, body: bytes.body })
            .collect();
        let mut received = server.end();
        made.sort();
        received.sort();
        assert!(made == received, "{profile:?}: the ledger makes other bytes");
        for index in 0..10 {
            let of = |sending| {
                let is_it = |request: &Request| (request.index, request.sending()) == (index, sending);
                let (intent, outcome) = sent.iter().find(|(intent, _)| is_it(&intent.request)).unwrap();
                assert!(matches!(outcome.as_ref().unwrap().answer, Answer::Reply { status: 200, .. }));
                intent
            };
            let [first, again, duplicate] = [SendingOf::First, SendingOf::Again, SendingOf::Duplicate].map(of);
            let due = first.request.due(&workload);
            assert!(again.released >= due + Duration::from_millis(60));
            assert!(duplicate.released >= due + Duration::from_millis(20));
            assert_eq!(bytes(first), bytes(duplicate), "byte for byte, headers and all");
            let events = |intent: &Intent| intent.request.seqs(&workload).map(|(seq, _)| seq).collect::<Vec<_>>();
            assert_eq!(events(first), events(again));
            let (first, again) = (bytes(first), bytes(again));
            assert_ne!(first, again, "it says when it was sent, or which request it is");
            assert!(!again.target.contains("retry_count"), "{}", again.target);
        }
    }
}

#[test]
fn stopping_gives_up_what_the_plan_has_sent_once_more() {
    let all = crate::random::Share::new(1.0).unwrap();
    let workload = workload(4, |traffic| {
        traffic.disorder.duplicate_requests = all;
        traffic.disorder.duplicate_after = Distribution::Constant { value: Duration::from_hours(1) };
    });
    let server = Server::start(|_| ok());
    let sending = Sending::start(workload, server.target(), LONG);
    while sending.progress.acked.load(std::sync::atomic::Ordering::Relaxed) < 4 {
        std::thread::yield_now();
    }
    sending.stop.send_replace(true);
    let (end, sent) = sending.end();
    assert_eq!((end, sent.len()), (End::Stopped, 1));
}

#[test]
fn of_results_for_each_event_only_what_is_asked_for_is_sent_again() {
    let attempts = |profile| {
        let workload = workload(4, |traffic| {
            traffic.client.profile = profile;
            traffic.endpoint = Endpoint::V1;
        });
        let server = Server::start(|request| {
            let word = |place| if request.events == 4 && place % 2 == 1 { "retry" } else { "ok" };
            results(request.uuids.iter().enumerate().map(|(place, uuid)| (uuid.clone(), word(place))))
        });
        let sending = Sending::start(Arc::clone(&workload), server.target(), LONG);
        let start = sending.clock.start();
        let (end, sent) = sending.end();
        assert_eq!(end, End::Complete);
        let mut encoder = Encoder::default();
        for ((intent, _), received) in sent.iter().zip(server.end()) {
            let bytes = encoder.encode(&workload, &intent.request, start, Vec::new()).unwrap();
            assert!(bytes.body == received.body, "the ledger makes other bytes");
        }
        let seqs = |intent: &Intent| intent.request.seqs(&workload).map(|(seq, _)| seq).collect::<Vec<_>>();
        let answers = sent.iter().map(|(intent, outcome)| (seqs(intent), outcome.as_ref().unwrap().answer.clone()));
        answers.collect::<Vec<_>>()
    };
    let ok = || Answer::Reply { status: 200, excerpt: String::new() };
    let asked = |seqs: &[u64]| {
        let exceptions = seqs.iter().map(|seq| (*seq, EventResult::Retry)).collect();
        Answer::Results { exceptions, complete: true }
    };
    let all = vec![0, 1, 2, 3];
    assert_eq!(attempts(Profile::PosthogRs), [(all.clone(), asked(&[1, 3])), (vec![1, 3], ok())]);
    assert_eq!(attempts(Profile::Assay), [(all, asked(&[1, 3]))]);
}

#[test]
fn a_broken_connection_is_retried() {
    let workload = workload(4, |traffic| traffic.client.profile = Profile::PosthogRs);
    let server = Server::start(|request| if request.times == 1 { server::silence() } else { ok() });
    let sending = Sending::start(workload, server.target(), LONG);
    let progress = Arc::clone(&sending.progress);
    let (end, sent) = sending.end();
    assert_eq!((end, sent.len()), (End::Complete, 2));
    assert!(matches!(sent[0].1.as_ref().unwrap().answer, Answer::Broken { .. }), "{:?}", sent[0].1);
    assert!(matches!(sent[1].1.as_ref().unwrap().answer, Answer::Reply { status: 200, .. }));
    assert_eq!(progress.acked.load(std::sync::atomic::Ordering::Relaxed), 4);
}

#[test]
fn a_library_waits_for_a_reply_as_long_as_it_does() {
    let first = |profile| {
        let workload = workload(4, |traffic| traffic.client.profile = profile);
        let server = Server::start(|_| {
            std::thread::sleep(Duration::from_millis(50));
            ok()
        });
        let (_, mut sent) = Sending::start(workload, server.target(), Duration::from_millis(1)).end();
        sent.remove(0).1.unwrap().answer
    };
    assert_eq!(first(Profile::Assay), Answer::TimedOut, "as long as the sender is told to");
    assert!(matches!(first(Profile::PosthogRs), Answer::Reply { status: 200, .. }), "30 s");
}

#[test]
fn stopping_gives_up_what_waits() {
    let workload = workload(8, |traffic| traffic.client.profile = Profile::PosthogJs);
    let server = Server::start(|_| status(503, ""));
    let sending = Sending::start(workload, server.target(), LONG);
    // Both were answered, and their retries wait three seconds or more.
    while sending.progress.failed.load(std::sync::atomic::Ordering::Relaxed) < 8 {
        std::thread::yield_now();
    }
    sending.stop.send_replace(true);
    let (_, sent) = sending.end();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(intent, outcome)| intent.request.attempt() == 1 && outcome.is_some()));
}

/// What the client was told of requests that all fail in one way, by a server that takes whatever it can read.
#[test]
fn requests_that_fail_on_purpose_end_as_they_are_meant_to() {
    let share = crate::random::Share::new(1.0).unwrap();
    let none = ClientFaults::default();
    let slow = ClientFaults { slow_body: share, slow_over: Duration::from_millis(40), ..none };
    for (faults, expected) in [
        (ClientFaults { disconnect: share, ..none }, None),
        (slow, Some(200)),
        (ClientFaults { duplicate_headers: share, ..none }, Some(200)),
        (ClientFaults { wrong_content_type: share, ..none }, Some(200)),
        (ClientFaults { truncated_gzip: share, ..none }, Some(400)),
        (ClientFaults { empty_body: share, ..none }, Some(400)),
        (ClientFaults { garbage_body: share, ..none }, Some(400)),
    ] {
        let workload = workload(12, |traffic| traffic.client.faults = faults);
        // It finds no event in what is no JSON.
        let server = Server::start(|request| if request.events == 4 { ok() } else { status(400, "") });
        let (end, sent) = Sending::start(Arc::clone(&workload), server.target(), LONG).end();
        assert_eq!((end, sent.len()), (End::Complete, 3), "{faults:?}");
        for (intent, outcome) in &sent {
            assert_eq!(intent.request.fault(&workload).map(ClientFault::is_meant_to_fail), Some(expected != Some(200)));
            let outcome = outcome.as_ref().unwrap();
            match (&outcome.answer, expected) {
                (Answer::Reply { status, .. }, Some(expected)) => assert_eq!(*status, expected, "{faults:?}"),
                (Answer::Broken { error }, None) => assert!(error.contains("as it was meant to"), "{error}"),
                (answer, _) => panic!("{faults:?}: {answer:?}"),
            }
            if faults == slow {
                let took = outcome.answered.saturating_sub(outcome.sent);
                assert!(took >= Duration::from_millis(38), "in pieces over its time, not {took:?}");
            }
        }
        let whole = server.end().iter().filter(|request| request.body.starts_with(b"{")).count();
        assert_eq!(whole, if expected == Some(200) { 3 } else { 0 }, "{faults:?}");
    }
}

#[test]
fn what_a_library_sends_again_is_whole() {
    let workload = workload(4, |traffic| {
        traffic.client.profile = Profile::PosthogRs;
        traffic.client.faults.disconnect = crate::random::Share::new(1.0).unwrap();
    });
    let server = Server::start(|_| ok());
    let (_, sent) = Sending::start(workload, server.target(), LONG).end();
    let answers: Vec<_> = sent.into_iter().map(|(_, outcome)| outcome.unwrap().answer).collect();
    assert!(matches!(answers[..], [Answer::Broken { .. }, Answer::Reply { status: 200, .. }]), "{answers:?}");
}
