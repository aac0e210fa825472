//! Live progress on a terminal: one line, or a view of some lines; a line a minute when piped.

mod pulse;

use std::{
    fmt::Write,
    io::IsTerminal,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::pulse::Pulse;
use crate::{
    figures::{count, seconds},
    live::{Board, Live},
    unseen::plain,
    view::View,
};

/// What the runner knows at a moment; all counts are events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// How many are planned.
    pub planned: u64,
    /// How many were handed to a connection.
    pub sent: u64,
    /// How many are in requests answered with 200.
    pub acked: u64,
    /// How many are in requests that ended otherwise.
    pub failed: u64,
    /// How many were seen in the store.
    pub visible: u64,
    /// How late the latest request left.
    pub late: Duration,
    /// How far all consumers are behind, in messages, where Kafka tells.
    pub lag: Option<u64>,
    /// How many are old enough to be called lost, and were never seen, where somebody follows the run that closely.
    pub overdue: Option<u64>,
}

impl Snapshot {
    /// The snapshot in one line; `rate` is that of sending, in events a second.
    pub fn line(&self, phase: &str, rate: Option<f64>) -> String {
        let rate = rate.map(|rate| format!(" · {}/s", count(rate.round() as u64))).unwrap_or_default();
        let mut line = format!(
            "{phase}  sent {} of {}{rate} · acked {} · visible {} · {} behind",
            count(self.sent),
            count(self.planned),
            count(self.acked),
            count(self.visible),
            count(self.acked.saturating_sub(self.visible)),
        );
        // Writing into a String does not fail.
        if let Some(lag) = self.lag {
            let _ = write!(line, " · lag {}", count(lag));
        }
        if let Some(overdue) = self.overdue {
            let _ = write!(line, " · overdue {}", count(overdue));
        }
        if self.failed > 0 {
            let _ = write!(line, " · not acked {}", count(self.failed));
        }
        if self.late > Duration::from_millis(100) {
            let _ = write!(line, " · sending {} late", seconds(self.late.as_secs_f64()));
        }
        line
    }
}

/// The line on the terminal, and the steps above it.
#[derive(Debug)]
pub struct Progress {
    line: ProgressBar,
    quiet: bool,
    board: Arc<Board>,
    is_followed: bool,
    has_view: bool,
    began: Instant,
    pulse: Mutex<Pulse>,
}

/// The view is drawn so often.
const DRAWN_EVERY: Duration = Duration::from_millis(250);

impl Progress {
    /// Progress on stderr. When that is no terminal steps are written, and each minute a line; when `quiet`, nothing is.
    pub fn on_stderr(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            line.set_style(style);
        }
        if shown {
            line.enable_steady_tick(Duration::from_millis(120));
        }
        Self {
            line,
            quiet,
            board: Arc::default(),
            is_followed: false,
            has_view: false,
            began: Instant::now(),
            pulse: Mutex::default(),
        }
    }

    /// The same, with somebody who follows the board: then the runner fills in what costs something to know.
    #[must_use]
    pub fn followed(mut self) -> Self {
        self.is_followed = true;
        self
    }

    /// The same, with the live view instead of the line, where there is a terminal.
    #[must_use]
    pub fn with_view(self) -> Self {
        if self.line.is_hidden() {
            return self;
        }
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            self.line.set_style(style);
        }
        let (board, line) = (Arc::downgrade(&self.board), self.line.clone());
        let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let began = Instant::now();
        std::thread::spawn(move || {
            let mut view = View::default();
            // It ends with the progress, or when the line was taken away.
            while let Some(board) = board.upgrade().filter(|_| !line.is_finished()) {
                let snapshot = board.live().clone();
                drop(board);
                view.look(&snapshot, began.elapsed().as_secs_f64());
                line.set_message(view.render(&snapshot, color));
                std::thread::sleep(DRAWN_EVERY);
            }
        });
        Self { has_view: true, ..self }.followed()
    }

    /// Whether somebody follows the board.
    pub const fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// The board, for who shows it.
    pub const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The board's snapshot, for who fills it in.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.board.live()
    }

    /// Something that took a while is done, or begins: stays on the screen.
    pub fn step(&self, what: &str) {
        if self.quiet {
            return;
        }
        let what = plain(what);
        if self.line.is_hidden() {
            // Nobody reads it if stderr is closed.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr().lock(), format_args!("{what}\n"));
        } else {
            self.line.println(what);
        }
    }

    /// What goes on right now: replaces the line before, or is written once a minute.
    pub fn now(&self, what: String) {
        if self.line.is_hidden() {
            let is_due = self.pulse().is_due(self.began.elapsed());
            if is_due {
                self.step(&what);
            }
        } else if !self.has_view {
            self.line.set_message(what);
        }
    }

    /// How far sending has come, in a line like any other.
    pub fn sending(&self, phase: &str, snapshot: &Snapshot) {
        let (mut pulse, now, is_drawn) = (self.pulse(), self.began.elapsed(), !self.line.is_hidden());
        pulse.begin(now, snapshot.sent);
        if is_drawn {
            let rate = pulse.rate(now, snapshot.sent, true);
            drop(pulse);
            self.now(snapshot.line(phase, rate));
        } else if pulse.is_due(now) {
            let rate = pulse.rate(now, snapshot.sent, false);
            drop(pulse);
            self.step(&snapshot.line(phase, rate));
        }
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        // It is whole whatever became of who held it.
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the line out of the way while `ask` has the terminal.
    pub fn aside<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.line.suspend(ask)
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.line.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_behind_and_what_is_wrong() {
        let snapshot = Snapshot { planned: 60_000, sent: 12_000, acked: 11_500, visible: 9_000, ..Snapshot::default() };
        assert_eq!(
            snapshot.line("sending", None),
            "sending  sent 12 000 of 60 000 · acked 11 500 · visible 9 000 · 2 500 behind"
        );
        let troubled = Snapshot { failed: 5, late: Duration::from_millis(1500), ..snapshot };
        assert!(troubled.line("sending", None).ends_with("2 500 behind · not acked 5 · sending 1.50 s late"));
        let followed = Snapshot { lag: Some(1_400), overdue: Some(3), ..snapshot };
        assert_eq!(
            followed.line("sending", Some(4_999.7)),
            "sending  sent 12 000 of 60 000 · 5 000/s · acked 11 500 · visible 9 000 · 2 500 behind · lag 1 400 · overdue 3"
        );
    }
}
