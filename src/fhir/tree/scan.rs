//! Where the plain part of a string ends: at a quote, a backslash or a control character, sixteen bytes at a time.

/// The first byte from `at` on that is a quote, a backslash or a control character; the end of the line if none is.
#[inline(always)]
pub(super) fn plain(line: &[u8], mut at: usize) -> usize {
    while let Some(block) = line.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let found = special(block);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 16;
    }
    while line.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        at += 1;
    }
    at
}

/// Which bytes of the block are special: eight bits of ones for each. Written so that it becomes vector instructions.
#[inline(always)]
fn special(block: &[u8; 16]) -> u128 {
    let mut found = [0; 16];
    for (found, byte) in found.iter_mut().zip(block) {
        let quote = u8::from(*byte == b'"').wrapping_neg();
        let backslash = u8::from(*byte == b'\\').wrapping_neg();
        let control = u8::from(*byte < 0x20).wrapping_neg();
        *found = quote | backslash | control;
    }
    u128::from_le_bytes(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_special_or_plain_as_the_plain_loop_says() {
        for byte in 0..=255u8 {
            for at in 0..16 {
                let mut block = *b"0123456789abcdef";
                block[at] = byte;
                let expected = if matches!(byte, b'"' | b'\\' | 0..0x20) {
                    0xff << (8 * at)
                } else {
                    0
                };
                assert_eq!(special(&block), expected, "byte {byte} at {at}");
            }
        }
    }

    #[test]
    fn stops_at_the_first_special_byte_or_at_the_end_of_the_line() {
        for length in 0..70 {
            let mut line = vec![b'x'; length];
            assert_eq!(plain(&line, 0), length);
            line.extend_from_slice(b"\"yyyyyyyyyyyyyyyyyyyyyyyyy\"");
            assert_eq!(plain(&line, 0), length);
        }
    }
}
