//! The forms of text that names and digests have.

/// SHA-256 of `bytes` as 64 hex digits: the name of a chunk, the name of a manifest.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// 64 lower-case hex digits and nothing else.
pub fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A model's name: words joined by single dots, as in a version (`omop-5.4`), 64 characters in all. Safe as a folder's name.
pub fn is_model_name(text: &str) -> bool {
    text.len() <= 64 && text.split('.').all(is_word)
}

/// A table or policy name: 1 to 64 of lower-case letters, digits, `_` and `-`, a letter or digit first.
pub fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().enumerate().all(|(at, byte)| match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'_' | b'-' => at > 0,
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_lower_case_hex_digits() {
        // FIPS 180-4, "abc".
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(is_sha256_hex(&sha256_hex(b"abc")));
        for bad in [&"a".repeat(63), &"a".repeat(65), &"A".repeat(64), &"g".repeat(64)] {
            assert!(!is_sha256_hex(bad), "{bad}");
        }
    }

    #[test]
    fn a_word_is_short_lower_case_and_begins_with_a_letter_or_digit() {
        for good in ["a", "lab_result", "safe-harbor", "2026", &"a".repeat(64)] {
            assert!(is_word(good), "{good}");
        }
        for bad in ["", "_a", "-a", "A", "a b", "a/b", "a.b", "é", &"a".repeat(65)] {
            assert!(!is_word(bad), "{bad}");
        }
    }

    #[test]
    fn a_model_s_name_may_hold_a_version_and_no_step_out_of_a_folder() {
        for good in ["ibd-registry", "omop-5.4", "pcornet-7.0", "a.b.c"] {
            assert!(is_model_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a..b", ".a", "a.", "../a", "a/b", "A.1", &"a.".repeat(40)] {
            assert!(!is_model_name(bad), "{bad}");
        }
    }
}
