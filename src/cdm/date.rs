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

#[cfg(test)]
mod tests {
    use super::*;

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
