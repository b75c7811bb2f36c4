//! How far the work is: the reference tool's percentages for pipes, a bar with a rate for terminals, JSON for programs.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use instar_run::{Limit, Observer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::console::{self, Console};
use crate::program::Program;
use crate::show::human_size;
use crate::stop::{Step, Stop};
use crate::value::progress::ShowProgress;
use crate::words;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Not, unless a signal asks.
    Silent,
    /// As the reference tool writes it, on standard output.
    Text,
    /// A bar on a terminal: standard output if it was asked for, else standard error.
    Bar { asked: bool },
    /// A line of JSON for each step.
    Json,
}

/// Progress of one run.
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    /// A signal asked for one line.
    wanted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    /// What was shown last, in hundredths of a percent.
    shown: Option<u64>,
    /// When the bar or line was drawn last.
    drawn: Option<Instant>,
    /// Where lines of JSON go.
    lines: Option<File>,
    /// The largest total there was: steps that do not count bytes have a small one.
    total: u64,
}

/// Percentages are shown when they have grown by this much, in hundredths: reference tool.
const STEP: u64 = 100;
/// All of it, in hundredths of a percent.
const WHOLE: u64 = 10_000;
/// A bar is drawn this often at most.
const REDRAW: Duration = Duration::from_millis(100);
/// Without `-p`, a bar appears only after this time.
const PATIENCE: Duration = Duration::from_millis(700);
/// Steps with a total up to this do not count bytes and have no rate worth showing.
const SMALL: u64 = 4096;
/// Columns of the bar.
const BAR: u64 = 24;

impl Progress {
    /// Progress of a verb with `-p` and `-q`; `quiet` wins. Without `-p` a person at a terminal sees a bar after a
    /// while, unless we stand in for the reference tool.
    ///
    /// # Errors
    /// The descriptor for JSON is not open for writing.
    pub(crate) fn new(show: ShowProgress, quiet: bool, reference: bool) -> Step<Self> {
        let mut lines = None;
        if let (ShowProgress::Json(descriptor), false) = (show, quiet) {
            let words = |error| format!("--progress=json: cannot write to descriptor {descriptor}: {error}");
            let opened = console::descriptor(descriptor);
            lines = Some(opened.map_err(|error| Stop::say(words(error)))?);
        }
        let asked = show == ShowProgress::Yes;
        let mut progress = Self::with_style(asked, quiet, reference);
        if lines.is_some() {
            progress.style = Style::Json;
            progress
                .state
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .lines = lines;
        }
        Ok(progress)
    }

    fn with_style(asked: bool, quiet: bool, reference: bool) -> Self {
        let style = if quiet {
            Style::Silent
        } else if asked && std::io::stdout().is_terminal() && !reference && draws() {
            Style::Bar { asked: true }
        } else if asked {
            Style::Text
        } else if !reference && std::io::stderr().is_terminal() && draws() {
            Style::Bar { asked: false }
        } else {
            Style::Silent
        };
        Self {
            style,
            wanted: AtomicBool::new(false),
            state: Mutex::new(State {
                started: Instant::now(),
                shown: None,
                drawn: None,
                lines: None,
                total: 0,
            }),
        }
    }

    /// No progress is shown.
    pub(crate) fn none() -> Self {
        Self::with_style(false, true, true)
    }

    /// The work begins: the reference tool shows zero before it opens anything.
    pub(crate) fn begin(&self) {
        self.step(0, 1);
    }

    /// So much of it is done. The numbers are the guest's: any may come.
    pub(crate) fn step(&self, done: u64, total: u64) {
        let hundredths = hundredths(done, total);
        if self.wanted.swap(false, Ordering::Relaxed) {
            emit(&mut std::io::stderr(), &format!("{}\n", percentage(hundredths)));
        }
        if self.style == Style::Silent {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.style {
            Style::Silent => {}
            Style::Text => {
                let grown = state.shown.is_none_or(|shown| hundredths > shown + STEP);
                // Once: the numbers may go back and forth without end.
                let ends = hundredths == WHOLE && state.shown != Some(WHOLE);
                if grown || ends {
                    state.shown = Some(hundredths);
                    emit(&mut std::io::stdout(), &format!("{}\r", percentage(hundredths)));
                }
            }
            Style::Bar { asked } => state.draw(asked, done, total, hundredths),
            Style::Json => state.line(done, total),
        }
    }

    /// The work is over, however it ended: nothing more is shown but the end of the line.
    pub(crate) fn close(&self) {
        match self.style {
            Style::Text => emit(&mut std::io::stdout(), "\n"),
            _ => self.finish(false),
        }
    }

    /// The work is over; with `success` it is shown as complete.
    pub(crate) fn finish(&self, success: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.style {
            Style::Silent => {}
            Style::Text => {
                let last = if success {
                    format!("{}\r", percentage(WHOLE))
                } else {
                    String::new()
                };
                emit(&mut std::io::stdout(), &format!("{last}\n"));
            }
            Style::Json if success => state.last_line(),
            Style::Json => {}
            Style::Bar { .. } if state.drawn.is_none() => {}
            Style::Bar { asked: true } => emit(&mut std::io::stdout(), "\n"),
            Style::Bar { asked: false } => emit(&mut std::io::stderr(), "\r\x1b[K"),
        }
    }
}

impl Observer for Progress {
    fn progress(&self, done: u64, total: u64) {
        self.step(done, total);
    }

    /// One line on standard error, at the next step.
    fn asked(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    fn warnings_left_out(&self, count: u64) {
        let text = format!("warning: {count} further warnings were left out");
        Console::complain(&Program::of_process().message(text.as_bytes()));
    }

    /// Prints the reason, unless standard error is the pipe that nobody reads.
    fn timed_out(&self, limit: Limit) {
        let error = std::io::stderr();
        let mut ready = [PollFd::new(&error, PollFlags::OUT)];
        if poll(&mut ready, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
            let text = words::run::limit(limit);
            Console::complain(&Program::of_process().message(text.as_bytes()));
        }
    }
}

/// Whether the terminal can overwrite its line. A dumb or unknown terminal gets the output for a pipe.
fn draws() -> bool {
    std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb" && name != "unknown")
}

impl State {
    /// One line of JSON, not too often.
    fn line(&mut self, done: u64, total: u64) {
        let now = Instant::now();
        let too_soon = self.drawn.is_some_and(|drawn| now.duration_since(drawn) < REDRAW);
        if total < self.total || total <= SMALL || too_soon {
            return;
        }
        self.total = total;
        self.drawn = Some(now);
        self.write_line(done);
    }

    /// The work is complete.
    fn last_line(&mut self) {
        self.write_line(self.total);
    }

    fn write_line(&mut self, done: u64) {
        let (total, elapsed) = (self.total, self.started.elapsed());
        if let Some(lines) = &mut self.lines {
            emit(lines, &json(done, total, elapsed));
        }
    }

    fn draw(&mut self, asked: bool, done: u64, total: u64, hundredths: u64) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.started);
        let too_soon = self.drawn.is_some_and(|drawn| now.duration_since(drawn) < REDRAW);
        // The end of the work is reported once more, in other units.
        let again = hundredths == WHOLE && self.shown == Some(WHOLE);
        if again || (!asked && elapsed < PATIENCE) || (too_soon && hundredths != WHOLE) {
            return;
        }
        self.shown = Some(hundredths);
        self.drawn = Some(now);
        let line = bar(done, total, hundredths, elapsed);
        if asked {
            emit(&mut std::io::stdout(), &line);
        } else {
            emit(&mut std::io::stderr(), &line);
        }
    }
}

/// `{"done": 1, "total": 2, "rate": 3, "remaining": 4}`: bytes, bytes a second, seconds.
fn json(done: u64, total: u64, elapsed: Duration) -> String {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = u64::try_from(u128::from(done) * 1000 / u128::from(milliseconds)).unwrap_or(u64::MAX);
    let remaining = total
        .saturating_sub(done)
        .checked_div(rate)
        .map_or_else(|| "null".to_owned(), |seconds| seconds.to_string());
    format!("{{\"done\": {done}, \"total\": {total}, \"rate\": {rate}, \"remaining\": {remaining}}}\n")
}

/// `[=====>    ]  41.2%  1.3 GiB of 3.2 GiB  512 MiB/s  4 s left`, over what stood there before.
fn bar(done: u64, total: u64, hundredths: u64, elapsed: Duration) -> String {
    let filled = hundredths * BAR / WHOLE;
    let mut text = String::from("\r[");
    for column in 0..BAR {
        text.push(if column < filled {
            '='
        } else if column == filled {
            '>'
        } else {
            ' '
        });
    }
    let _ = write!(text, "] {:3}.{}%", hundredths / 100, hundredths % 100 / 10);
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if total > SMALL && milliseconds >= 200 {
        let rate = done.saturating_mul(1000) / milliseconds;
        let _ = write!(text, "  {} of {}", human_size(done), human_size(total));
        let _ = write!(text, "  {}/s", human_size(rate));
        if let Some(seconds) = total
            .saturating_sub(done)
            .checked_div(rate)
            .filter(|left| *left > 0)
        {
            let _ = write!(text, "  {seconds} s left");
        }
    }
    text.push_str("\x1b[K");
    text
}

fn hundredths(done: u64, total: u64) -> u64 {
    let share = u128::from(done.min(total)) * u128::from(WHOLE);
    u64::try_from(share.checked_div(u128::from(total)).unwrap_or(0)).unwrap_or(WHOLE)
}

/// `    (12.34/100%)`
fn percentage(hundredths: u64) -> String {
    format!("    ({}.{:02}/100%)", hundredths / 100, hundredths % 100)
}

/// A reader that has gone away is noticed when the result is printed.
fn emit(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use super::{bar, hundredths, json, percentage};
    use std::time::Duration;

    #[test]
    fn percentages_look_as_the_reference_tool_writes_them() {
        assert_eq!(percentage(0), "    (0.00/100%)");
        assert_eq!(percentage(1234), "    (12.34/100%)");
        assert_eq!(percentage(10_000), "    (100.00/100%)");
    }

    #[test]
    fn any_numbers_make_a_percentage() {
        assert_eq!(hundredths(0, 0), 0);
        assert_eq!(hundredths(9, 3), 10_000);
        assert_eq!(hundredths(u64::MAX, u64::MAX), 10_000);
        assert_eq!(hundredths(1, 3), 3333);
    }

    #[test]
    fn json_says_the_same_to_programs() {
        assert_eq!(
            json(1 << 30, 4 << 30, Duration::from_secs(2)),
            "{\"done\": 1073741824, \"total\": 4294967296, \"rate\": 536870912, \"remaining\": 6}\n"
        );
        assert_eq!(
            json(0, 4 << 30, Duration::ZERO),
            "{\"done\": 0, \"total\": 4294967296, \"rate\": 0, \"remaining\": null}\n"
        );
        json(u64::MAX, u64::MAX, Duration::ZERO);
    }

    #[test]
    fn the_bar_says_how_fast_and_how_long() {
        let line = bar(1 << 30, 4 << 30, 2500, Duration::from_secs(2));
        assert!(line.contains("[======>                 ]  25.0%"), "{line}");
        assert!(line.contains("1 GiB of 4 GiB  512 MiB/s  6 s left"), "{line}");
        assert!(!bar(0, 0, 0, Duration::ZERO).contains("/s"));
    }
}
