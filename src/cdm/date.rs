//! Dates as tables hold them: of any precision from the year on, and with a day that their month has.

/// YYYY, YYYY-MM or YYYY-MM-DD with a month of 1-12 and a day that the month has.
pub fn is_partial_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        bytes
            .get(range)?
            .iter()
            .try_fold(0u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    };
    let Some(year) = number(0..4) else { return false };
    if bytes.len() == 4 {
        return true;
    }
    let Some(month) = number(5..7).filter(|month| (1..=12).contains(month)) else {
        return false;
    };
    if bytes[4] != b'-' || bytes.len() == 7 {
        return bytes[4] == b'-';
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    bytes.len() == 10 && bytes[7] == b'-' && number(8..10).is_some_and(|day| (1..=last).contains(&day))
}

/// YYYY-MM-DD with a day that the month has.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && is_partial_date(text)
}

/// YYYY-MM-DDThh:mm:ss, without zone and fraction: the wall clock.
pub fn is_datetime(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let Some((minutes, seconds)) = time.rsplit_once(':') else {
        return false;
    };
    is_date(date) && is_time(minutes) && below(seconds, 60)
}

/// hh:mm
pub fn is_time(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(hours, minutes)| below(hours, 24) && below(minutes, 60))
}

fn below(text: &str, end: u32) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|number: u32| number < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datetime_is_a_whole_date_and_a_time_of_the_day() {
        assert!(is_date("2024-02-29") && !is_date("2024-02") && !is_date("2023-02-29"));
        assert!(is_time("23:59") && !is_time("24:00") && !is_time("7:05") && !is_time("07:05:00"));
        for good in ["2024-02-29T00:00:00", "2023-12-31T23:59:59"] {
            assert!(is_datetime(good), "{good}");
        }
        for bad in [
            "2024-02-29",
            "2024-02-29T00:00",
            "2024-02T00:00:00",
            "2024-02-29T24:00:00",
            "2024-02-29T00:00:00Z",
            "2024-02-29 00:00:00",
            "2024-02-29T00:00:+1",
        ] {
            assert!(!is_datetime(bad), "{bad}");
        }
    }

    #[test]
    fn a_partial_date_has_a_day_its_month_has() {
        for good in ["2024", "2024-02", "2024-02-29", "2023-12-31"] {
            assert!(is_partial_date(good), "{good}");
        }
        for bad in [
            "",
            "24",
            "2024-",
            "2024-13",
            "2023-02-29",
            "2024-04-31",
            "2024-1-1",
            "2024-01-01T00:00",
            "2024/01/01",
            "20é4",
        ] {
            assert!(!is_partial_date(bad), "{bad}");
        }
    }
}
