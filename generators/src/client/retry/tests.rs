//! What each library does about what it is answered, played without a clock.

use super::*;
use crate::{
    identity::StreamId,
    persona::PersonaTable,
    random::Share,
    request::Requests,
    workload::{Endpoint, Profile, tests::small},
};

const STREAM: StreamId = StreamId(0);

/// The workload, and a request of 8 events that is due at 8 s.
fn example(profile: Profile) -> (Workload, Request) {
    example_of(profile, Endpoint::Batch)
}

/// The same for an endpoint.
fn example_of(profile: Profile, endpoint: Endpoint) -> (Workload, Request) {
    let mut plan = small().plan().clone();
    let traffic = &mut plan.traffic[0];
    (traffic.batch, traffic.disorder) = ((8, 8), crate::workload::Disorder::default());
    traffic.arrival =
        crate::schedule::Arrival::Constant { rate: crate::schedule::Rate::new(1, Duration::from_secs(1)).unwrap() };
    (traffic.client.profile, traffic.endpoint) = (profile, endpoint);
    let workload = Workload::new(plan, PersonaTable::make(42, 2));
    let request = Requests::new(&workload, STREAM).next().unwrap();
    assert_eq!((request.positions.clone(), request.due(&workload)), (0..8, Duration::from_secs(7)));
    (workload, request)
}

fn reply(status: u16) -> Answer {
    Answer::Reply { status, excerpt: String::new() }
}

const fn broken() -> Answer {
    Answer::Broken { error: String::new() }
}

/// The attempts that a client makes after its first one, each answered a second after it left: when each leaves, the
/// positions that it holds, and what `sent_at` says, in milliseconds. The first one was answered at 10 s.
fn played(profile: Profile, answers: &[(Answer, Option<&str>)]) -> Vec<(u64, Range<u64>, u64)> {
    let (workload, request) = example(profile);
    let mut delivery = Delivery::first(&workload, request);
    let (mut attempts, mut answered) = (Vec::new(), Duration::from_secs(10));
    for (answer, retry_after) in answers {
        let reply = Reply { answer, at: answered, retry_after: *retry_after };
        let Some(at) = delivery.next(&workload, profile.facts(), reply) else { break };
        let request = delivery.release(at);
        let retry = request.retry.unwrap();
        assert_eq!((retry.attempt as usize, retry.due), (attempts.len() + 2, Duration::from_secs(7)));
        attempts.push((at.as_millis() as u64, request.positions, retry.built.as_millis() as u64));
        answered = at + Duration::from_secs(1);
    }
    attempts
}

#[test]
fn a_page_that_was_closed_sends_nothing_again() {
    let waits = |beacon: f64| {
        let (workload, request) = example_of(Profile::PosthogJs, Endpoint::E);
        let mut plan = workload.plan().clone();
        plan.traffic[0].client.beacon = Share::new(beacon).unwrap();
        let workload = Workload::new(plan, PersonaTable::make(42, 2));
        assert_eq!(workload.is_beacon(&request), beacon > 0.0);
        let mut retries = Retries::new(&workload, 4);
        let (sent, answered) = (Duration::from_secs(7), Duration::from_secs(8));
        let outcome = Outcome { stream: STREAM, index: 0, attempt: 1, sent, answered, answer: reply(503) };
        retries.ended(&outcome, Some(Box::new(Back { request, delivery: None, retry_after: None })), true);
        !retries.is_empty()
    };
    assert_eq!((waits(0.0), waits(1.0)), (true, false));
}

#[test]
fn each_library_goes_on_as_long_as_it_does() {
    let all = |answer: Answer| {
        move |profile| {
            let answers = vec![(answer.clone(), None); 20];
            played(profile, &answers).into_iter().map(|(at, ..)| at).collect::<Vec<_>>()
        }
    };
    let (unavailable, gone) = (all(reply(503)), all(broken()));
    for (profile, answered, network) in [
        (Profile::Assay, &[][..], &[][..]),
        (Profile::PosthogPython, &[11_000, 14_000, 19_000], &[11_000, 14_000, 19_000]),
        // Without a network it keeps the batch, and has it tried again with the next flush.
        (
            Profile::PosthogNode,
            &[13_000, 17_000, 21_000],
            &[13_000, 17_000, 21_000, 32_000, 36_000, 40_000, 44_000, 55_000],
        ),
        (Profile::PosthogRs, &[10_200, 11_600], &[10_200, 11_600]),
    ] {
        assert_eq!(unavailable(profile), answered, "{profile:?}");
        assert_eq!(gone(profile)[..network.len()], *network, "{profile:?}");
    }
    let (answered, network) = (unavailable(Profile::PosthogJs), gone(Profile::PosthogJs));
    assert_eq!((answered.len(), network.len()), (10, 3));
    let growing = answered.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    assert!(growing.is_sorted() && growing.iter().all(|wait| wait % 3_000 == 1_000), "{growing:?}");
    assert_eq!(unavailable(Profile::PosthogJs), answered, "chance follows from the seed");
}

#[test]
fn sent_at_is_of_the_attempt_or_of_the_batch() {
    let built = |profile| {
        let all = played(profile, &[(reply(503), None), (Answer::TimedOut, None), (reply(200), None)]);
        all.into_iter().map(|(at, _, built)| (at, built)).collect::<Vec<_>>()
    };
    assert_eq!(built(Profile::PosthogPython), [(11_000, 11_000), (14_000, 14_000)]);
    assert_eq!(built(Profile::PosthogRs), [(10_200, 10_200), (11_600, 11_600)]);
    assert_eq!(built(Profile::PosthogNode), [(13_000, 7_000), (17_000, 7_000)]);
    // A batch that was kept is built anew.
    let kept = played(Profile::PosthogNode, &vec![(broken(), None); 5]);
    assert_eq!(
        kept[2..].iter().map(|(at, _, built)| (*at, *built)).collect::<Vec<_>>(),
        [(21_000, 7_000), (32_000, 32_000), (36_000, 32_000)]
    );
}

#[test]
fn a_batch_that_is_too_large_is_halved_by_node_alone() {
    let too_large = [(reply(413), None)];
    for profile in [Profile::Assay, Profile::PosthogPython, Profile::PosthogJs, Profile::PosthogRs] {
        assert_eq!(played(profile, &too_large), [], "{profile:?}");
    }
    // 8 → 4, 4 → 2, and the halves of both, one after another; a retry of a half keeps its bytes.
    let answers = [413, 413, 200, 503, 200, 200, 200].map(|status| (reply(status), None));
    assert_eq!(
        played(Profile::PosthogNode, &answers),
        [
            (10_000, 0..4, 10_000),
            (11_000, 0..2, 11_000),
            (12_000, 2..4, 12_000),
            (16_000, 2..4, 12_000),
            (17_000, 4..6, 17_000),
            (18_000, 6..8, 18_000),
        ]
    );
    // One event alone cannot be halved, and those behind it are not to suffer for it.
    let answers = [413, 413, 413, 413, 200].map(|status| (reply(status), None));
    let positions: Vec<_> =
        played(Profile::PosthogNode, &answers).into_iter().map(|(_, positions, _)| positions).collect();
    assert_eq!(positions, [0..4, 0..2, 0..1, 1..2, 2..3]);
}

#[test]
fn whose_batch_was_too_large_makes_smaller_ones_from_then_on() {
    let mut plan = small().plan().clone();
    plan.traffic[0].client.profile = Profile::PosthogNode;
    let workload = Workload::new(plan, PersonaTable::make(42, 2));
    let mut retries = Retries::new(&workload, 64);
    let answered = |request: &Request, status| Outcome {
        stream: STREAM,
        index: request.index,
        attempt: request.attempt(),
        sent: Duration::ZERO,
        answered: Duration::ZERO,
        answer: reply(status),
    };
    let size = |request: &Request| request.seqs(&workload).count() as u64;
    let all: Vec<Request> = Requests::new(&workload, STREAM).collect();
    let large = all.iter().position(|request| size(request) > 10).unwrap();
    let (first, delivery) = retries.first(all[large].clone());
    assert!(first == all[large] && delivery.is_none(), "nothing is known yet");
    let back = Back { request: first.clone(), delivery, retry_after: None };
    retries.ended(&answered(&first, 413), Some(Box::new(back)), true);
    let most = size(&first) / 2;
    let (of_client, of_others): (Vec<&Request>, Vec<&Request>) =
        all[large + 1..].iter().partition(|request| request.client(&workload) == first.client(&workload));
    assert!(of_others.iter().all(|request| retries.first((*request).clone()).0 == **request), "others know nothing");
    let next = of_client.into_iter().find(|request| size(request) > 2 * most).unwrap();
    let (mut part, mut delivery) = retries.first(next.clone());
    assert_eq!((size(&part), part.attempt()), (most, 1));
    let mut sent: Vec<_> = part.seqs(&workload).collect();
    // The halves of the first one are waiting, too.
    while let Some(due) = retries.take(Duration::MAX) {
        assert!(due.request.index == first.index && size(&due.request) <= most);
        let back = Back { request: due.request.clone(), delivery: Some(due.delivery), retry_after: None };
        retries.ended(&answered(&due.request, 200), Some(Box::new(back)), true);
    }
    while let Some(known) = delivery.take() {
        let back = Back { request: part.clone(), delivery: Some(known), retry_after: None };
        retries.ended(&answered(&part, 200), Some(Box::new(back)), true);
        let Some(due) = retries.take(Duration::MAX) else { break };
        assert!(size(&due.request) <= most && due.request.attempt() > 1);
        sent.extend(due.request.seqs(&workload));
        (part, delivery) = (due.request, Some(due.delivery));
    }
    assert_eq!(sent, next.seqs(&workload).collect::<Vec<_>>(), "each event once, in their order");
}

#[test]
fn the_first_part_of_a_batch_fails_as_the_whole_was_to() {
    let mut plan = small().plan().clone();
    let traffic = &mut plan.traffic[0];
    (traffic.client.profile, traffic.batch, traffic.clients) = (Profile::PosthogNode, (8, 8), 1);
    traffic.client.faults.garbage_body = Share::new(0.5).unwrap();
    let workload = Workload::new(plan, PersonaTable::make(42, 2));
    let mut retries = Retries::new(&workload, 64);
    let mut all = Requests::new(&workload, STREAM);
    let request = all.next().unwrap();
    let (stream, index, at) = (STREAM, 0, Duration::ZERO);
    let outcome = Outcome { stream, index, attempt: 1, sent: at, answered: at, answer: reply(413) };
    retries.ended(&outcome, Some(Box::new(Back { request, delivery: None, retry_after: None })), true);
    let mut failing = 0;
    for whole in all.take(200) {
        let (part, delivery) = retries.first(whole.clone());
        assert!(delivery.is_some() && part.positions.end < whole.positions.end, "it has learnt");
        assert_eq!(part.fault(&workload), whole.fault(&workload));
        failing += u64::from(part.fault(&workload).is_some());
        // What follows of it is whole.
        let mut delivery = delivery.unwrap();
        let reply = Reply { answer: &reply(200), at, retry_after: None };
        delivery.next(&workload, Profile::PosthogNode.facts(), reply).unwrap();
        assert_eq!(delivery.release(at).fault(&workload), None);
    }
    assert!((60..140).contains(&failing), "{failing} of 200");
}

#[test]
fn single_events_are_asked_for_until_the_library_has_enough() {
    let results = |seqs: &[u64]| {
        let exceptions = seqs
            .iter()
            .map(|seq| (*seq, EventResult::Retry))
            .chain([(0, EventResult::Drop(crate::ledger::DropWord::OTHER))])
            .collect();
        Answer::Results { exceptions, complete: true }
    };
    let (workload, request) = example_of(Profile::PosthogRs, Endpoint::V1);
    let mut delivery = Delivery::first(&workload, request);
    let mut attempts = Vec::new();
    for asked in [&[5, 2][..], &[2], &[2], &[2]] {
        let reply = Reply { answer: &results(asked), at: Duration::from_secs(10), retry_after: Some("1") };
        let Some(at) = delivery.next(&workload, Profile::PosthogRs.facts(), reply) else { break };
        let request = delivery.release(at);
        attempts.push((at.as_secs(), request.seqs(&workload).map(|(seq, _)| seq).collect::<Vec<_>>()));
    }
    assert_eq!(attempts, [(11, vec![2, 5]), (11, vec![2])], "three attempts in all");
    // It is asked to wait for at least so long, and waits half a minute at the most.
    for (asked, retries, expected) in [("1", 0, 1), ("1", 2, 4), ("3600", 0, 30)] {
        let (workload, request) = example_of(Profile::PosthogPython, Endpoint::V1);
        let mut delivery = Delivery { retries, ..Delivery::first(&workload, request) };
        let reply = Reply { answer: &results(&[2]), at: Duration::from_secs(10), retry_after: Some(asked) };
        let at = delivery.next(&workload, Profile::PosthogPython.facts(), reply);
        assert_eq!(at, Some(Duration::from_secs(10 + expected)), "{asked} after {retries}");
    }
    // A time-out of what was asked for has the same sent again, and 429 means to stop.
    let (workload, request) = example_of(Profile::PosthogPython, Endpoint::V1);
    let mut delivery = Delivery::first(&workload, request);
    let mut next = |answer: &Answer| {
        let reply = Reply { answer, at: Duration::from_secs(10), retry_after: None };
        let at = delivery.next(&workload, Profile::PosthogPython.facts(), reply)?;
        Some(delivery.release(at).seqs(&workload).map(|(seq, _)| seq).collect::<Vec<_>>())
    };
    assert_eq!(next(&results(&[7, 3])), Some(vec![3, 7]));
    assert_eq!(next(&Answer::TimedOut), Some(vec![3, 7]));
    assert_eq!(next(&reply(429)), None);
}

#[test]
fn what_is_sent_again_is_halved_with_the_rest() {
    let mut plan = small().plan().clone();
    plan.traffic[0].disorder.resend = Share::new(0.5).unwrap();
    plan.traffic[0].client.profile = Profile::PosthogNode;
    let workload = Workload::new(plan, PersonaTable::make(42, 2));
    for request in Requests::new(&workload, STREAM).skip(10).take(40) {
        let all: Vec<_> = request.seqs(&workload).collect();
        let mut delivery = Delivery::first(&workload, request);
        let mut sent = Vec::new();
        let mut answer = reply(413);
        for _ in 0..2 * all.len() {
            let reply = Reply { answer: &answer, at: Duration::ZERO, retry_after: None };
            let Some(at) = delivery.next(&workload, Profile::PosthogNode.facts(), reply) else { break };
            let part: Vec<_> = delivery.release(at).seqs(&workload).collect();
            assert!(!part.is_empty() && part.len() <= all.len().div_ceil(2), "{} of {}", part.len(), all.len());
            sent.extend(part);
            answer = self::reply(200);
        }
        assert_eq!(sent, if all.len() > 1 { all } else { Vec::new() });
    }
}

#[test]
fn a_reply_may_say_when() {
    let now: Timestamp = "2026-11-06T08:49:37Z".parse().unwrap();
    let date = "Fri, 06 Nov 2026 08:50:07 GMT";
    for (notice, text, expected) in [
        (RetryAfter::Ignored, "5", None),
        (RetryAfter::Seconds, "5", Some(5_000)),
        (RetryAfter::Seconds, "0", Some(0)),
        (RetryAfter::Seconds, "1.5", None),
        (RetryAfter::Seconds, date, None),
        (RetryAfter::SecondsOrDate, "1.5", Some(1_500)),
        (RetryAfter::SecondsOrDate, "0", None),
        (RetryAfter::SecondsOrDate, "-1", None),
        (RetryAfter::SecondsOrDate, "inf", None),
        (RetryAfter::SecondsOrDate, date, Some(30_000)),
        (RetryAfter::SecondsOrDate, "Fri, 06 Nov 2026 08:49:07 GMT", None),
        (RetryAfter::SecondsOrDate, "soon", None),
    ] {
        assert_eq!(asked(notice, text, now), expected.map(Duration::from_millis), "{notice:?} {text}");
    }
    let first = |profile, status| played(profile, &[(reply(status), Some("5"))]).first().map(|(at, ..)| *at);
    assert_eq!(first(Profile::PosthogPython, 503), Some(15_000));
    assert_eq!(first(Profile::PosthogRs, 429), Some(15_000));
    assert_eq!(first(Profile::PosthogNode, 503), Some(13_000), "takes no notice");
    assert_eq!(first(Profile::PosthogRs, 400), None);
}

/// Whether a first attempt that was due at 7 s, and failed for want of a network at this second, is made again.
fn is_retried_at(profile: Profile, seconds: u64) -> bool {
    let (workload, request) = example(profile);
    let mut retries = Retries::new(&workload, 4);
    let at = Duration::from_secs(seconds);
    let outcome = Outcome { stream: STREAM, index: 0, attempt: 1, sent: at, answered: at, answer: broken() };
    retries.ended(&outcome, Some(Box::new(Back { request, delivery: None, retry_after: None })), true);
    !retries.is_empty()
}

#[test]
fn a_library_alone_decides_how_long_it_tries() {
    // 5 000 events at one a second: the last is due at 4 999 s, and node's process ends 30 s later.
    for (profile, seconds, expected) in [
        (Profile::PosthogPython, 9_000, true),
        (Profile::PosthogJs, 9_000, true),
        (Profile::PosthogRs, 9_000, true),
        (Profile::PosthogNode, 5_026, true),
        (Profile::PosthogNode, 5_027, false),
    ] {
        assert_eq!(is_retried_at(profile, seconds), expected, "{profile:?} at {seconds} s");
    }
}

/// Failed first attempts, so many requests of one client, answered 503 at this second.
fn failed(retries: &mut Retries<'_>, requests: impl Iterator<Item = Request>, at: u64, again: bool) {
    for request in requests {
        let (stream, index, at) = (request.stream, request.index, Duration::from_secs(at));
        let outcome = Outcome { stream, index, attempt: 1, sent: at, answered: at, answer: reply(503) };
        retries.ended(&outcome, Some(Box::new(Back { request, delivery: None, retry_after: None })), again);
    }
}

#[test]
fn no_more_than_half_of_the_connections_are_for_retries() {
    let (workload, _) = example(Profile::PosthogRs);
    let mut retries = Retries::new(&workload, 4);
    failed(&mut retries, Requests::new(&workload, STREAM).take(3), 50, true);
    let at = Duration::from_millis(50_200);
    assert_eq!(retries.due(), Some(at));
    assert!(retries.take(Duration::from_millis(50_199)).is_none(), "none before its time");
    let first = retries.take(at).unwrap();
    assert_eq!((first.at, first.request.index), (at, 0));
    assert!(retries.take(at).is_some());
    assert!(retries.take(at).is_none() && retries.due().is_none() && !retries.is_empty());
    let (stream, index, sent, answered) = (STREAM, 0, at, at);
    retries.ended(&Outcome { stream, index, attempt: 2, sent, answered, answer: reply(200) }, None, true);
    assert_eq!(retries.take(at).map(|due| due.request.index), Some(2));
    assert!(retries.is_empty());
}

#[test]
fn retries_end_with_their_time_with_the_sender_and_where_too_many_wait() {
    let mut plan = example(Profile::PosthogRs).0.plan().clone();
    plan.traffic[0].client.retry_for = Some(Duration::from_mins(10));
    let workload = Workload::new(plan, PersonaTable::make(42, 2));
    let mut retries = Retries::new(&workload, 4);
    failed(&mut retries, Requests::new(&workload, STREAM).take(3), 50, false);
    assert!(retries.is_empty(), "sending was stopped");
    // Due at 7 s, and retried for ten minutes.
    failed(&mut retries, Requests::new(&workload, STREAM).take(1), 607, true);
    assert!(retries.is_empty());
    failed(&mut retries, Requests::new(&workload, STREAM).take(1), 606, true);
    assert!(!retries.is_empty());
    retries.clear();
    assert!(retries.is_empty() && retries.due().is_none());
    let (_, request) = example(Profile::PosthogRs);
    failed(&mut retries, std::iter::repeat_n(request, WAITING + 5), 50, true);
    assert_eq!(retries.waiting.len(), WAITING);
}
