//! Where the plain part of a string ends: at a quote, a backslash or a control character, eight bytes at a time, with
//! plain arithmetic on words.

/// The first byte from `at` on that is a quote, a backslash or a control character; the end of the line if none is.
#[inline(always)]
pub(super) fn plain(line: &[u8], mut at: usize) -> usize {
    while let Some(block) = line.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = special(u64::from_le_bytes(*block));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while line.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        at += 1;
    }
    at
}

/// Bit 7 of each special byte; bits above the first one found may be wrong.
#[inline(always)]
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let found =
        (quotes.wrapping_sub(ONES) & !quotes) | (backslashes.wrapping_sub(ONES) & !backslashes) | (word.wrapping_sub(ONES * 0x20) & !word);
    found & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_ends_the_plain_part_exactly_when_it_is_special() {
        for byte in 0..=255u8 {
            for at in 0..40 {
                let mut line = [b'x'; 40];
                line[at] = byte;
                let special = matches!(byte, b'"' | b'\\' | 0..0x20);
                assert_eq!(plain(&line, 0), if special { at } else { 40 }, "byte {byte} at {at}");
            }
        }
    }

    #[test]
    fn the_first_of_two_special_bytes_is_found_whatever_they_are() {
        for first in [b'"', b'\\', 0, 1, 0x1f] {
            for second in [b'"', b'#', b'!', b'\\', b']', 0x20, 0x21, 0x7f, 0x80, 0xff] {
                let mut line = [second; 32];
                for at in 0..16 {
                    line[..at].fill(b'x');
                    line[at] = first;
                    assert_eq!(plain(&line, 0), at);
                }
            }
        }
    }

    #[test]
    fn stops_at_the_end_of_the_line() {
        for length in 0..70 {
            assert_eq!(plain(&vec![b'x'; length], 0), length);
        }
    }
}
