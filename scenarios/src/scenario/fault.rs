//! `[[fault]]`: what is done to the pipeline on purpose.

use std::time::Duration;

use generators::random::Distribution;
use testenv::{
    containers::substitute::Further,
    environment::pipeline::ingester_names,
    fault::{Action, Kind, Target},
};
use toml::de::DeValue;

use super::{
    notation::{Expectable, memory},
    pipeline::processors,
    reader::{Section, choice, text, whole, words},
};

/// Faults of one kind, before their times are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// When the first of them begins, from the start of sending.
    pub at: Distribution,
    /// How long each lasts that is not done at once.
    pub lasts: Distribution,
    /// From the begin of one to that of the next.
    pub every: Duration,
    /// How many there are.
    pub times: u64,
    /// What each may be done to; where there are several, one is drawn among those that the action can be done to.
    pub targets: Vec<Target>,
    /// What may be done; where there are several, one is drawn.
    pub actions: Vec<Action>,
}

impl Fault {
    /// Everything that may be drawn: what is done, and to what.
    pub fn draws(&self) -> impl Iterator<Item = (Action, Target)> + '_ {
        self.actions.iter().flat_map(move |action| self.reach(*action).map(move |target| (*action, target)))
    }

    /// Whether the seed decides anything of it.
    pub fn is_drawn(&self) -> bool {
        let is_said = |distribution| matches!(distribution, Distribution::Constant { .. });
        self.targets.len() > 1 || self.actions.len() > 1 || !is_said(self.at) || !is_said(self.lasts)
    }

    /// Those of its targets that `action` can be done to.
    pub fn reach(&self, action: Action) -> impl Iterator<Item = Target> + '_ {
        self.targets.iter().copied().filter(move |target| action.fits(*target))
    }
}

const AT_ONCE: Distribution = Distribution::Constant { value: Duration::ZERO };

/// What is written, before it has its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Plain(Action),
    Restart,
    Delay,
    Narrow,
    Throttle,
    Squeeze,
}

/// The words for what is done.
pub(super) const WORDS: [(&str, Word); 13] = [
    ("kill", Word::Plain(Action::Kill)),
    ("stop", Word::Plain(Action::Stop)),
    ("restart", Word::Restart),
    ("pause", Word::Plain(Action::Pause)),
    ("rebalance", Word::Plain(Action::Rebalance)),
    ("cut", Word::Plain(Action::Cut)),
    ("reset", Word::Plain(Action::Reset)),
    ("delay", Word::Delay),
    ("narrow", Word::Narrow),
    ("broken_message", Word::Plain(Action::BrokenMessage)),
    ("fill_disk", Word::Plain(Action::FillDisk)),
    ("throttle", Word::Throttle),
    ("squeeze", Word::Squeeze),
];

/// What there is to be the target of a fault, each with its name: what every run has, the ingesters but the first of so many, and
/// what the scenario adds and does not end by itself.
fn parts(ingesters: usize, further: &[Further]) -> Vec<(&'static str, Target)> {
    let lasting = further.iter().filter(|further| !further.once).map(|further| Target::component(&further.name));
    let named = ingester_names(ingesters).skip(1).map(Target::component).chain(lasting);
    Target::ALL.into_iter().chain(named.map(|target| (target.word(), target))).collect()
}

/// Reads all faults, of a pipeline with so many ingesters and with `further` components.
pub(super) fn faults(sections: Vec<Section<'_>>, ingesters: usize, further: &[Further]) -> Vec<Fault> {
    let parts = parts(ingesters, further);
    sections.into_iter().map(|section| fault(section, &parts)).collect()
}

/// Reads a fault of one or some of the `parts`.
fn fault(mut section: Section<'_>, parts: &[(&'static str, Target)]) -> Fault {
    let at = section.required("at", Distribution::parse).unwrap_or(AT_ONCE);
    let targets = section.required("target", |value| one_or_more(value, parts)).unwrap_or_default();
    let words = section.required("action", |value| one_or_more(value, &WORDS)).unwrap_or_else(|| vec![Word::Restart]);
    let actions: Vec<Action> = words.iter().map(|word| action(&mut section, *word)).collect();
    let lasts = lasts(&mut section, &words, &actions);
    let (every, times) = match (section.mentions("every"), section.mentions("times")) {
        (false, false) => (Duration::ZERO, 1),
        _ => (
            section.required("every", Duration::parse).unwrap_or_default(),
            section.required("times", whole(1..=10_000)).unwrap_or(1),
        ),
    };
    if times > 1 && every.is_zero() && !section.has_problem() {
        section.problem("every", "must be longer than nothing");
    }
    let fault = Fault { at, lasts: lasts.unwrap_or(AT_ONCE), every, times, targets, actions };
    check_targets(&mut section, &fault, parts);
    section.end();
    fault
}

/// What a word means, with its measure where it has one.
fn action(section: &mut Section<'_>, word: Word) -> Action {
    match word {
        Word::Plain(action) => action,
        // Asked to end, and started again at once.
        Word::Restart => Action::Stop,
        Word::Delay => {
            let by = section.required("delay", Duration::parse).unwrap_or_default();
            let jitter = section.optional("jitter", Duration::parse).unwrap_or_default();
            if jitter > by {
                section.problem("jitter", "must not be longer than `delay`: nothing arrives before it was sent");
            }
            Action::Delay { by, jitter }
        }
        Word::Throttle => {
            let processors = section.required("processors", processors).unwrap_or(1.0);
            Action::Throttle { thousandths: (processors * 1_000.0) as u32 }
        }
        Word::Squeeze => Action::Squeeze { memory: section.required("memory", memory).unwrap_or(u64::MAX) },
        Word::Narrow => {
            Action::Narrow { bytes_per_second: section.required("bandwidth", bandwidth).unwrap_or(u64::MAX) }
        }
    }
}

/// How long it lasts; nothing where it says nothing of that.
fn lasts(section: &mut Section<'_>, words: &[Word], actions: &[Action]) -> Option<Distribution> {
    let lasts = section.optional("for", Distribution::parse);
    let restarts = words.contains(&Word::Restart);
    let needs_time =
        |(word, action): (&Word, &Action)| *word != Word::Restart && (action.needs_time() || *action == Action::Stop);
    if lasts.is_none() && words.iter().zip(actions).any(needs_time) {
        section.problem("for", "is missing: how long it lasts, such as \"10s\"");
    }
    if lasts.is_some() && (words == [Word::Restart] || !actions.iter().any(|action| action.lasts())) {
        section.problem("for", "has no meaning here: it is done at once");
    } else if lasts.is_some() && restarts {
        section.problem("for", "has no meaning for `restart`, which is done at once: write `stop` in the list");
    }
    lasts
}

/// Makes sure that every action can be done to one of the targets, and that one can be done to every target.
fn check_targets(section: &mut Section<'_>, fault: &Fault, parts: &[(&'static str, Target)]) {
    let fitting = |actions: &[Action]| {
        let fits = |(_, target): &&(&'static str, Target)| actions.iter().any(|action| action.fits(*target));
        let fitting: Vec<&str> = parts.iter().filter(fits).map(|(word, _)| *word).collect();
        fitting.join(", ")
    };
    for target in &fault.targets {
        if !fault.actions.iter().any(|action| action.fits(*target)) && !section.has_problem() {
            let kind = match target.kind() {
                Kind::Component => "a component",
                Kind::Link => "a network link",
                Kind::Topic => "a topic",
            };
            let words: Vec<String> = fault.actions.iter().map(|action| format!("`{}`", action.word())).collect();
            let what = format!(
                "{} cannot be done to {target}, which is {kind}; it can be done to: {}",
                words.join(" or "),
                fitting(&fault.actions)
            );
            section.problem("target", &what);
        }
    }
    for (place, action) in fault.actions.iter().enumerate() {
        if fault.reach(*action).next().is_none() && !section.has_problem() {
            let what = format!(
                "`{}` can be done to none of the targets; it can be done to: {}",
                action.word(),
                fitting(std::slice::from_ref(action))
            );
            section.problem("action", &what);
        }
        if fault.actions[..place].contains(action) && !section.has_problem() {
            section.problem("action", &format!("names `{}` twice", action.word()));
        }
    }
}

/// One of some words, or a list of which one is drawn.
fn one_or_more<T: Copy>(value: &DeValue<'_>, choices: &[(&'static str, T)]) -> Result<Vec<T>, String> {
    match value {
        DeValue::Array(list) if !list.is_empty() => words(choices)(value),
        other => choice(choices)(other).map(|one| vec![one]),
    }
}

/// Reads `1MB/s`, `500kB/s` or `100B/s`.
fn bandwidth(value: &DeValue<'_>) -> Result<u64, String> {
    let text = text(value).unwrap_or_else(|_| "a number alone".into());
    let wrong = || format!("`{text}` is no bandwidth: write \"500kB/s\" or \"2MB/s\"");
    let amount = text.strip_suffix("B/s").ok_or_else(wrong)?;
    let (number, unit) = match amount.chars().last() {
        Some('k') => (&amount[..amount.len() - 1], 1_000.0),
        Some('M') => (&amount[..amount.len() - 1], 1e6),
        _ => (amount, 1.0),
    };
    let number: f64 = number.trim().replace('_', "").parse().map_err(|_| wrong())?;
    let bytes = number * unit;
    if bytes >= 1.0 && bytes.is_finite() { Ok(bytes as u64) } else { Err(wrong()) }
}
