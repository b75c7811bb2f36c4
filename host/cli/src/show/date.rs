//! Moments as the clock on the wall showed them.

use tz::{DateTime, TimeZone};

/// The user's time zone, read before our own process is confined.
#[derive(Debug)]
pub struct LocalTime(TimeZone);

impl LocalTime {
    /// From `TZ`, else `/etc/localtime`, else UTC.
    #[must_use]
    pub fn load() -> Self {
        let zone = match std::env::var("TZ") {
            Ok(name) => TimeZone::from_posix_tz(&name),
            Err(_) => TimeZone::local(),
        };
        Self(zone.unwrap_or_else(|_| TimeZone::utc()))
    }

    /// `2026-11-22 14:17:59`.
    #[must_use]
    pub fn show(&self, unix_seconds: u32) -> String {
        let Ok(moment) = DateTime::from_timespec(unix_seconds.into(), 0, self.0.as_ref()) else {
            return String::new();
        };
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            moment.year(),
            moment.month(),
            moment.month_day(),
            moment.hour(),
            moment.minute(),
            moment.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::LocalTime;
    use tz::TimeZone;

    #[test]
    fn zones_and_summer_time_count() {
        let utc = LocalTime(TimeZone::utc());
        assert_eq!(utc.show(1_795_357_079), "2026-11-22 14:17:59");
        let berlin = LocalTime(TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        assert_eq!(berlin.show(1_795_357_079), "2026-11-22 15:17:59");
        assert_eq!(berlin.show(1_784_000_000), "2026-07-14 05:33:20");
    }
}
