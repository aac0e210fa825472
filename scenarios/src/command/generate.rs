//! `assay generate`: the traffic as JSON lines, nothing sent.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufWriter, ErrorKind, Write},
    process::ExitCode,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use generators::{
    clock::RunStart,
    identity::RunId,
    persona::PersonaTable,
    random::mix,
    request::Request,
    timetable::{Repeated, Shard},
    wire::{Encoded, Encoder},
    workload::{ClientFault, Endpoint, Workload},
};
use jiff::Timestamp;
use reports::progress::Progress;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::parse_override;
use crate::{
    external::Projects,
    failure::{Failure, Kind},
    library, plan,
    recording::{self, Prepared},
    runner::PERSONAS,
    scenario::Override,
};

#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub(super) struct Arguments {
    /// A name of the library (`assay list`), or a file
    #[arg(long, value_name = "NAME|FILE")]
    scenario: String,
    /// The seed of all random values, the run's id among them
    #[arg(long)]
    seed: Option<u64>,
    /// Print so many lines at most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print one of several disjoint shares of the requests, such as 1/3
    #[arg(long, value_name = "WHICH/OF", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Print a line a request, with the body in base64, and not a line an event
    #[arg(long)]
    requests: bool,
    /// When the traffic starts, in RFC 3339
    #[arg(long, value_name = "TIME", default_value = "2026-01-01T00:00:00Z")]
    start: Timestamp,
    /// Change a value of the scenario, such as `traffic.app.events=100`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<Override>,
}

const NOTES: &str = "\
The same seed, start and scenario give the same bytes on every machine, in every version with the same workload version.
A run takes its own id and its own start, so its events have other ids and times.
A line an event:   {\"stream\":\"app\",\"request\":0,\"due\":0.1,\"resent\":false,\"uuid\":…,\"event\":…,\"distinct_id\":…,\"timestamp\":…,\"properties\":{…}}
A line a request:  {\"stream\":\"app\",\"time\":0.1,\"method\":\"POST\",\"path\":…,\"headers\":{…},\"events\":1,\"body\":base64}, and \"fault\" where its client fails on purpose
Times are seconds from the start.";

struct EventLine<'a> {
    stream: &'a str,
    request: u64,
    due: f64,
    resent: bool,
    sent: &'a SentEvent<'a>,
}

impl Serialize for EventLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("stream", self.stream)?;
        map.serialize_entry("request", &self.request)?;
        map.serialize_entry("due", &self.due)?;
        map.serialize_entry("resent", &self.resent)?;
        for (key, value) in &self.sent.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// An event as it is on the wire, but for a token of its own: its fields in their order.
struct SentEvent<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for SentEvent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, &RawValue>()? {
                    if !matches!(&*field.0, "api_key" | "token" | "$token") {
                        fields.push(field);
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(Self)
    }
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<SentEvent<'a>>,
}

fn events(body: &[u8], endpoint: Endpoint) -> serde_json::Result<Vec<SentEvent<'_>>> {
    match (endpoint, body.first()) {
        (Endpoint::Batch | Endpoint::V1 | Endpoint::AiV1, _) => {
            serde_json::from_slice::<Batch<'_>>(body).map(|body| body.batch)
        }
        (_, Some(b'[')) => serde_json::from_slice(body),
        _ => serde_json::from_slice(body).map(|event| vec![event]),
    }
}

#[derive(Serialize)]
struct RequestLine<'a> {
    stream: &'a str,
    time: f64,
    method: &'a str,
    path: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    events: u64,
    /// How its client fails on purpose; the body is as it was before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    body: String,
}

pub(super) fn generate(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let scenario = library::read(&arguments.scenario, &arguments.overrides)?;
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::caused(Kind::Unavailable, "no temporary folder could be made", "name another one with TMPDIR", error)
    })?;
    let recording = folder.path().join("recording.jsonl");
    // What is left out is told in full, since nothing of the folder stays.
    let Prepared { scenario, recording, .. } =
        recording::prepare(&scenario, &recording, None, |line| Progress::on_stderr(false).step(line))?;
    let seed = arguments.seed.or(scenario.seed).unwrap_or(1);
    let start = RunStart::from_unix_micros(arguments.start.as_microsecond());
    let plan = plan::workload(&scenario, &Projects::Own(RunId::new(mix(seed))), RunId::new(mix(seed)), seed, start);
    let workload = Workload::replaying(plan, PersonaTable::make(seed, PERSONAS), recording.as_ref());
    let printer = Printer {
        workload: &workload,
        start,
        out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        left: arguments.limit.unwrap_or(u64::MAX),
    };
    match printer.print(arguments) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever read it, such as `head`, has had enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::caused(Kind::Unavailable, "the traffic could not be written to stdout", "", error)),
    }
}

struct Printer<'a, W> {
    workload: &'a Workload,
    start: RunStart,
    out: W,
    /// How many lines may still be printed.
    left: u64,
}

impl<W: Write> Printer<'_, W> {
    fn print(mut self, arguments: &Arguments) -> io::Result<()> {
        let mut encoder = Encoder::default();
        for (due, request) in Repeated::new(self.workload, arguments.shard) {
            if self.left == 0 {
                break;
            }
            if arguments.requests {
                let made = encoder.encode(self.workload, &request, self.start, Vec::new());
                self.print_request(due, &request, &made.map_err(io::Error::other)?)?;
            } else {
                // Events are read from the bodies.
                let made = encoder.encode_plainly(self.workload, &request, self.start);
                self.print_events(due, &request, &made.map_err(io::Error::other)?)?;
            }
        }
        self.out.flush()
    }

    fn print_request(&mut self, due: Duration, request: &Request, encoded: &Encoded) -> io::Result<()> {
        let stream = self.workload.traffic(request.stream).map_or("", |traffic| &traffic.name);
        // A token is in the body at most, and nobody's secret.
        let headers = encoded.headers.iter().map(|(name, value)| (&**name, value.as_str()));
        let line = RequestLine {
            stream,
            time: due.as_secs_f64(),
            method: encoded.method.name(),
            path: &encoded.target,
            headers: headers.chain([("content-type", &*encoded.content_type)]).collect(),
            events: encoded.events,
            fault: request.fault(self.workload).map(ClientFault::name),
            body: BASE64_STANDARD.encode(&encoded.body),
        };
        self.left -= 1;
        print_line(&mut self.out, &line)
    }

    fn print_events(&mut self, due: Duration, request: &Request, encoded: &Encoded) -> io::Result<()> {
        let of_request = self.workload.traffic(request.stream).zip(self.workload.style(request));
        let Some((traffic, style)) = of_request else { return Ok(()) };
        let sent = events(&encoded.body, style.endpoint)?;
        for (sent, (_, resent)) in
            sent.iter().zip(request.seqs(self.workload)).take(usize::try_from(self.left).unwrap_or(usize::MAX))
        {
            let line =
                EventLine { stream: &traffic.name, request: request.index, due: due.as_secs_f64(), resent, sent };
            self.left -= 1;
            print_line(&mut self.out, &line)?;
        }
        Ok(())
    }
}

fn print_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
