//! Hours of the day as people write them, in the hospital's time zone: when the EHR is left alone, when a run must be done.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::reader::{Reader, Section};
use crate::pull::QuietHours;

/// The hour at which a night's run must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishBy {
    pub at: Time,
    pub zone: TimeZone,
}

impl FinishBy {
    /// The first such moment after `now`. Where a change of clocks leaves the hour out, the one right after it.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        [0, 1].into_iter().find_map(|days| {
            let moment = today
                .checked_add(days.days())
                .ok()?
                .to_datetime(self.at)
                .to_zoned(self.zone.clone())
                .ok()?;
            Some(moment.timestamp()).filter(|moment| *moment > now)
        })
    }
}

/// `time_zone`: a name of the IANA database; without it, this machine's.
pub(super) fn zone(reader: &mut Reader, section: &Section<'_>) -> TimeZone {
    let Some(name) = reader.optional_text(section, "time_zone") else {
        return TimeZone::system();
    };
    TimeZone::get(&name).unwrap_or_else(|_| {
        let what = "is no time zone this machine knows: write one like `Europe/Berlin`, and see that the package `tzdata` is installed";
        reader.fault(section, "time_zone", what);
        TimeZone::UTC
    })
}

/// `quiet`: stretches such as `07:00-19:00`.
pub(super) fn quiet(reader: &mut Reader, section: &Section<'_>, zone: &TimeZone) -> Vec<QuietHours> {
    let stretches = reader.list(section, "quiet").unwrap_or_default();
    let read: Option<Vec<_>> = stretches.iter().map(|text| stretch(text, zone)).collect();
    read.unwrap_or_else(|| {
        reader.fault(
            section,
            "quiet",
            "must be a list of stretches such as \"07:00-19:00\", of which none is empty",
        );
        Vec::new()
    })
}

fn stretch(text: &str, zone: &TimeZone) -> Option<QuietHours> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (hour(from)?, hour(to)?);
    (from != to).then(|| QuietHours {
        from,
        to,
        zone: zone.clone(),
    })
}

/// `finish_by`: such as `05:00`.
pub(super) fn finish_by(reader: &mut Reader, section: &Section<'_>, zone: &TimeZone) -> Option<FinishBy> {
    let text = reader.optional_text(section, "finish_by")?;
    let at = hour(&text);
    if at.is_none() {
        reader.fault(section, "finish_by", "must be an hour such as \"05:00\"");
    }
    Some(FinishBy {
        at: at?,
        zone: zone.clone(),
    })
}

fn hour(text: &str) -> Option<Time> {
    Time::strptime("%H:%M", text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_such_hour_is_today_or_tomorrow_and_never_now() {
        let five = FinishBy {
            at: hour("05:00").unwrap(),
            zone: TimeZone::UTC,
        };
        for (now, next) in [
            ("2026-03-01T04:59:59Z", "2026-03-01T05:00:00Z"),
            ("2026-03-01T05:00:00Z", "2026-03-02T05:00:00Z"),
            ("2026-12-31T23:00:00Z", "2027-01-01T05:00:00Z"),
        ] {
            assert_eq!(five.next(now.parse().unwrap()), Some(next.parse().unwrap()), "{now}");
        }
    }

    #[test]
    fn a_stretch_is_two_different_hours() {
        for (text, good) in [
            ("07:00-19:00", true),
            ("22:00-05:30", true),
            ("07:00-07:00", false),
            ("25:00-07:00", false),
            ("07:00", false),
            ("", false),
        ] {
            assert_eq!(stretch(text, &TimeZone::UTC).is_some(), good, "{text}");
        }
    }
}
