//! How large a request may be: what is larger is refused as a whole with 413, before anything of it is stored
//! (rust/capture/src/router.rs, `DefaultBodyLimit`; payload/decompression.rs; ingestion contract 1.1, 1.3).
//!
//! One limit holds for the bytes that come, and a greater one for what they are unpacked to (setup.rs, `event_payload_max_bytes`;
//! config.rs, `capture_v1_max_decompressed_body_bytes`). Where they are in question, the body is made once more and measured; only so
//! near to its limit that an attempt's moments could make the difference both is fine.

use generators::{
    clock::RunStart,
    request::Request,
    wire::Encoder,
    workload::{Compression, Endpoint, Form, Workload},
};

/// What a made event holds beside its padding, at most, if nothing in it hurts; an envelope has as much room.
const BESIDE: u64 = 20_000;
/// The same of one that hurts.
const HURTING: u64 = 80_000;
/// By so much may two attempts of a request differ, for each event: in how its moments are written.
const MARGIN: u64 = 64;

/// Whether a request may be refused for its size; it was sent by a run that began at `start`.
pub fn may_be_over(workload: &Workload, request: &Request, start: RunStart) -> bool {
    let (mut events, mut padding, mut most, mut is_recorded) = (0, 0, BESIDE, false);
    for (seq, _) in request.seqs(workload) {
        let oddities = workload.oddities(request.stream, seq);
        let beside = if oddities.hostile.is_some() { HURTING } else { BESIDE };
        (events, padding, most) = (events + 1, padding + oddities.padding, most + oddities.padding + beside);
        is_recorded |= oddities.recorded;
    }
    let Some(style) = workload.style(request) else { return false };
    let Limits { sent: limit, unpacked } = limits(style.endpoint);
    // Most are far from their limit; of what was recorded nobody knows before.
    if !is_recorded && most / 2 * 3 <= limit {
        return false;
    }
    let is_packed = matches!(style.compression, Compression::Gzip | Compression::GzipJs);
    if padding > unpacked || (padding > limit && !is_packed) {
        return true;
    }
    // The parts of a form hold little beside the padding.
    let is_form = style.endpoint == Endpoint::Ai;
    let body = if is_form { None } else { Encoder::default().encode_plainly(workload, request, start).ok() };
    let text = body.map_or(most, |encoded| encoded.body.len() as u64 + (events + 1) * MARGIN);
    if text > unpacked {
        return true;
    }
    if is_packed && text > limit {
        // How short it becomes nobody knows before.
        let packed = Encoder::default().encode(workload, request, start, Vec::new());
        return packed
            .map_or(true, |made| (made.body.len() + made.target.len()) as u64 + (events + 1) * MARGIN > limit);
    }
    // Four characters of base64 are three bytes, and in a form some of them become three again.
    let is_grown = style.form != Form::Plain || matches!(style.compression, Compression::Base64 | Compression::Lz64);
    let sent = if is_grown { text / 2 * 3 } else { text };
    sent > limit
}

/// What an endpoint takes, in bytes.
struct Limits {
    /// As it is sent.
    sent: u64,
    /// As it is when it is unpacked.
    unpacked: u64,
}

const fn limits(endpoint: Endpoint) -> Limits {
    const MEBI: u64 = 1 << 20;
    match endpoint {
        Endpoint::Batch => Limits { sent: 20 * MEBI, unpacked: 100 * MEBI },
        Endpoint::E | Endpoint::Capture | Endpoint::IV0E | Endpoint::Track | Endpoint::Engage => {
            Limits { sent: 2 * MEBI, unpacked: 100 * MEBI }
        }
        Endpoint::V1 | Endpoint::AiV1 => Limits { sent: 20 * MEBI, unpacked: 50 * MEBI },
        // Nothing is unpacked there.
        Endpoint::BlackHole => Limits { sent: 20 * MEBI, unpacked: u64::MAX },
        Endpoint::Recordings => Limits { sent: 25 * MEBI, unpacked: 25 * MEBI },
        // All parts may come to 25 MiB, but those of an event and its properties to so much (ai_endpoint.rs).
        Endpoint::Ai => Limits { sent: 960 << 10, unpacked: 960 << 10 },
    }
}

#[cfg(test)]
mod tests {
    use generators::{
        persona::PersonaTable,
        random::Share,
        request::Requests,
        workload::{Extras, Hostile, Traffic},
    };

    use super::*;
    use crate::reconcile::example::{STREAM, workload};

    fn over(change: impl Fn(&mut Traffic)) -> usize {
        let mut plan = workload(40).plan().clone();
        let traffic = &mut plan.traffic[0];
        traffic.batch = (1, 1);
        // What is sent again stands in a later request, and counts there as well.
        traffic.disorder.resend = Share::default();
        change(traffic);
        let workload = Workload::new(plan, PersonaTable::make(1, 2));
        Requests::new(&workload, STREAM)
            .filter(|request| may_be_over(&workload, request, RunStart::from_unix_micros(0)))
            .count()
    }

    fn padded(traffic: &mut Traffic, padding: (u64, u64)) {
        traffic.extras = Extras { large: Share::new(1.0).unwrap(), padding, ..Extras::default() };
    }

    #[test]
    fn what_is_larger_than_its_endpoint_takes_is_over() {
        for (endpoint, size, expected) in [
            (Endpoint::E, 2_000_000, 0),
            (Endpoint::E, 2_100_000, 40),
            (Endpoint::Batch, 20_000_000, 0),
            (Endpoint::V1, 20_972_000, 40),
            (Endpoint::Recordings, 26_000_000, 0),
            (Endpoint::Recordings, 26_215_000, 40),
            (Endpoint::Ai, 900_000, 0),
            (Endpoint::Ai, 990_000, 40),
        ] {
            let found = over(|traffic| {
                traffic.endpoint = endpoint;
                padded(traffic, (size, size));
            });
            assert_eq!(found, expected, "{endpoint:?} {size}");
        }
        assert_eq!(over(|_| ()), 0);
    }

    #[test]
    fn events_of_a_request_count_together_and_encodings_grow() {
        let of = |batch, size, compression| {
            over(|traffic| {
                traffic.endpoint = Endpoint::E;
                traffic.batch = (batch, batch);
                traffic.compression = compression;
                padded(traffic, (size, size));
            })
        };
        assert_eq!(of(4, 400_000, Compression::None), 0);
        assert_eq!(of(8, 300_000, Compression::None), 5, "all requests");
        assert_eq!((of(1, 1_500_000, Compression::Gzip), of(1, 1_500_000, Compression::Base64)), (0, 40));
    }

    #[test]
    fn what_is_packed_may_grow_to_more_than_is_taken_of_it() {
        let of = |endpoint, size, compression| {
            over(|traffic| {
                (traffic.endpoint, traffic.compression) = (endpoint, compression);
                traffic.batch = (40, 40);
                padded(traffic, (size, size));
            })
        };
        // 3 MB, and less than 2 MiB of gzip; nothing makes 5 MB of random digits so short.
        assert_eq!(of(Endpoint::E, 75_000, Compression::None), 1);
        assert_eq!(of(Endpoint::E, 75_000, Compression::Gzip), 0);
        assert_eq!(of(Endpoint::E, 75_000, Compression::GzipJs), 0);
        assert_eq!(of(Endpoint::E, 125_000, Compression::Gzip), 1);
        // More than 100 MiB are nowhere taken, and in v1 more than 50.
        assert_eq!(of(Endpoint::Batch, 2_700_000, Compression::Gzip), 1);
        assert_eq!(of(Endpoint::V1, 1_400_000, Compression::Gzip), 1);
    }

    #[test]
    fn without_padding_there_may_be_too_many_events_or_too_much_that_hurts() {
        let of = |batch, events, hurts: f64| {
            over(|traffic| {
                (traffic.endpoint, traffic.batch, traffic.events) = (Endpoint::E, (batch, batch), events);
                (traffic.extras.hostile, traffic.extras.kinds) = (Share::new(hurts).unwrap(), vec![Hostile::Wide]);
            })
        };
        // Some 1.2 KB each, and 30 of what is wide.
        assert_eq!((of(1_500, 1_500, 0.0), of(2_500, 2_500, 0.0)), (0, 1));
        assert_eq!((of(40, 400, 1.0), of(100, 400, 1.0)), (0, 4));
    }

    #[test]
    fn no_made_event_has_more_beside_its_padding_than_is_reckoned_with() {
        let hurting = Hostile::ALL.map(|(word, kind)| (word, 1.0, kind, HURTING));
        for (word, hurts, kind, most) in hurting.into_iter().chain([("plain", 0.0, Hostile::Wide, BESIDE)]) {
            let mut plan = workload(40).plan().clone();
            let traffic = &mut plan.traffic[0];
            traffic.batch = (1, 1);
            (traffic.extras.hostile, traffic.extras.kinds) = (Share::new(hurts).unwrap(), vec![kind]);
            let workload = Workload::new(plan, PersonaTable::make(1, 2));
            for request in Requests::new(&workload, STREAM) {
                let made =
                    Encoder::default().encode(&workload, &request, RunStart::from_unix_micros(0), Vec::new()).unwrap();
                assert!((made.body.len() as u64) < most, "{word}: {}", made.body.len());
            }
        }
    }

    #[test]
    fn many_small_events_are_not_over_because_some_are_padded() {
        let found = over(|traffic| {
            traffic.endpoint = Endpoint::E;
            traffic.batch = (40, 40);
            padded(traffic, (20_000, 20_000));
        });
        assert_eq!(found, 0, "0.8 MB and what is beside it");
        let found = over(|traffic| {
            traffic.endpoint = Endpoint::E;
            traffic.batch = (40, 40);
            padded(traffic, (60_000, 60_000));
        });
        assert_eq!(found, 1);
    }
}
