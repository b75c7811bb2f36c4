//! The one time that packages contain.

use std::path::Path;
use std::process::Command;

use crate::files::output;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl Epoch {
    /// `SOURCE_DATE_EPOCH`, or else the time of the last commit.
    ///
    /// # Errors
    /// If the variable is no number, or there is neither.
    pub fn of(root: &Path) -> Result<Self, String> {
        let text = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => text,
            Err(_) => output(
                Command::new("git")
                    .current_dir(root)
                    .args(["log", "-1", "--format=%ct"]),
            )
            .map_err(|why| format!("no time for the packages: set SOURCE_DATE_EPOCH ({why})"))?,
        };
        let seconds = text.trim().parse();
        seconds
            .map(Self)
            .map_err(|_| format!("SOURCE_DATE_EPOCH: expects seconds, not '{}'", text.trim()))
    }

    /// Year, month and day.
    #[must_use]
    pub fn day(self) -> String {
        let (year, month, day) = self.civil();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// As in RFC 3339.
    #[must_use]
    pub fn timestamp(self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{}T{hour:02}:{minute:02}:{second:02}Z", self.day())
    }

    /// As a changelog of Debian has it.
    #[must_use]
    pub fn mail(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let (year, month, day) = self.civil();
        let (hour, minute, second) = self.clock();
        let pick = |names: &[&'static str], index: u64| {
            usize::try_from(index)
                .ok()
                .and_then(|index| names.get(index).copied())
                .unwrap_or_default()
        };
        let weekday = pick(&DAYS, self.0 / 86400 % 7);
        let month = pick(&MONTHS, month - 1);
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
    }

    const fn clock(self) -> (u64, u64, u64) {
        (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60)
    }

    /// Year, month and day of the Gregorian calendar, by counting.
    fn civil(self) -> (u64, u64, u64) {
        let is_leap =
            |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let mut days = self.0 / 86400;
        let mut year = 1970;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if days < length {
                break;
            }
            days -= length;
            year += 1;
        }
        let february = if is_leap(year) { 29 } else { 28 };
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        (year, month, days + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Epoch;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, timestamp, mail) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 +0000"),
            (
                951_782_399,
                "2000-02-28T23:59:59Z",
                "Mon, 28 Feb 2000 23:59:59 +0000",
            ),
            (
                951_782_400,
                "2000-02-29T00:00:00Z",
                "Tue, 29 Feb 2000 00:00:00 +0000",
            ),
            (
                1_795_790_924,
                "2026-11-27T14:48:44Z",
                "Fri, 27 Nov 2026 14:48:44 +0000",
            ),
        ] {
            assert_eq!(Epoch(seconds).timestamp(), timestamp);
            assert_eq!(Epoch(seconds).mail(), mail);
        }
    }
}
