//! `arrival = { shape = "ramp", … }`: when a traffic's events are due.

use std::time::Duration;

use generators::schedule::{Arrival, Rate, Step};

use super::{
    notation::Expectable,
    reader::{Section, choice},
};

/// More would overflow the schedule's arithmetic, and no machine sends it.
const MOST_PER_SECOND: f64 = 1e7;
/// Longer than any soak.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// How a rate goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Constant,
    Poisson,
    Ramp,
    Step,
    Burst,
    Diurnal,
}

/// The words for shapes.
pub(super) const SHAPES: [(&str, Shape); 6] = [
    ("constant", Shape::Constant),
    ("poisson", Shape::Poisson),
    ("ramp", Shape::Ramp),
    ("step", Shape::Step),
    ("burst", Shape::Burst),
    ("diurnal", Shape::Diurnal),
];

/// Reads the section; what is wrong is noted in it, and then the shape is a stand-in that lets the rest be checked.
pub(super) fn arrival(mut section: Section<'_>) -> Arrival {
    let arrival = match section.required("shape", choice(&SHAPES)).unwrap_or(Shape::Constant) {
        Shape::Constant => Arrival::Constant { rate: rate(&mut section, "rate") },
        Shape::Poisson => Arrival::Poisson { rate: rate(&mut section, "rate") },
        Shape::Ramp => Arrival::Ramp {
            from: rate(&mut section, "from"),
            to: rate(&mut section, "to"),
            over: length(&mut section, "over"),
        },
        Shape::Step => {
            let mut steps: Vec<Step> = Vec::new();
            for mut step in section.sections("steps") {
                steps.push(Step { rate: rate(&mut step, "rate"), lasting: length(&mut step, "for") });
                step.end();
            }
            if steps.is_empty() && !section.has_problem() {
                section.problem("steps", "is missing: say `steps = [{ rate = \"100/s\", for = \"1m\" }, …]`");
            }
            if steps.is_empty() {
                steps.push(Step { rate: STAND_IN, lasting: Duration::from_secs(1) });
            }
            Arrival::Step { steps }
        }
        Shape::Burst => {
            let (rate, burst) = (rate(&mut section, "rate"), rate(&mut section, "burst"));
            let (every, lasting) = (length(&mut section, "every"), length(&mut section, "for"));
            if lasting >= every && !section.has_problem() {
                section.problem("for", "must be shorter than `every`: a burst ends a period");
            }
            Arrival::Burst { rate, burst, every, lasting }
        }
        Shape::Diurnal => Arrival::Diurnal {
            low: rate(&mut section, "low"),
            high: rate(&mut section, "high"),
            period: section.optional("period", length_of).unwrap_or(Duration::from_hours(24)),
        },
    };
    section.end();
    arrival
}

/// One event a second.
const STAND_IN: Rate = Rate { events: 1, per: Duration::from_secs(1) };

fn rate(section: &mut Section<'_>, key: &'static str) -> Rate {
    let rate = section.required(key, |value| {
        let rate = Rate::parse(value)?;
        if rate.per_second() > MOST_PER_SECOND {
            return Err("is more than 10 million a second".into());
        }
        Ok(rate)
    });
    rate.unwrap_or(STAND_IN)
}

fn length(section: &mut Section<'_>, key: &'static str) -> Duration {
    section.required(key, length_of).unwrap_or(Duration::from_secs(1))
}

fn length_of(value: &toml::de::DeValue<'_>) -> Result<Duration, String> {
    let length = Duration::parse(value)?;
    if (Duration::from_millis(1)..=LONGEST).contains(&length) {
        Ok(length)
    } else {
        Err("must lie between a millisecond and a year".into())
    }
}
