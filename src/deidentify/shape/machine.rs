//! Addresses and numbers that machines have: network cards, the Internet's sixth version, vehicles.
//! Knows forms only. Basis: 45 CFR 164.514(b)(2)(i)(L) vehicle identifiers, (M) device identifiers, (O) IP addresses.

/// Eight groups of hex digits with colons, or fewer around a `::`.
pub(super) fn is_internet_six(text: &str) -> bool {
    let is_group = |group: &str| (1..=4).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    tokens(text, |c| c.is_ascii_hexdigit() || c == ':').any(|token| {
        let groups = || token.split(':').filter(|group| !group.is_empty());
        if !groups().all(is_group) || token.contains(":::") {
            return false;
        }
        match token.matches("::").count() {
            0 => groups().count() == 8 && token.matches(':').count() == 7,
            // `12::30` is no address of anybody; two groups and a letter or four digits are.
            1 => (2..=7).contains(&groups().count()) && groups().any(|group| group.len() >= 3),
            _ => false,
        }
    })
}

/// Six pairs of hex digits with one separator.
pub(super) fn is_network_card(text: &str) -> bool {
    tokens(text, |c| c.is_ascii_hexdigit() || c == ':' || c == '-').any(|token| {
        let token = token.as_bytes();
        token.len() == 17
            && matches!(token[2], b':' | b'-')
            && token
                .chunks(3)
                .all(|pair| pair[0].is_ascii_hexdigit() && pair[1].is_ascii_hexdigit() && pair.get(2).is_none_or(|mark| *mark == token[2]))
    })
}

/// Seventeen letters and digits without I, O, Q, of which the ninth checks the others (49 CFR 565.15(c)).
pub(super) fn is_vehicle(text: &str) -> bool {
    tokens(text, |c| c.is_ascii_alphanumeric()).any(|token| {
        token.len() == 17
            && token.bytes().any(|byte| byte.is_ascii_alphabetic())
            && token.bytes().any(|byte| byte.is_ascii_digit())
            && checks(token.as_bytes())
    })
}

fn checks(vin: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let mut sum = 0;
    for (character, weight) in vin.iter().zip(WEIGHTS) {
        let value = match character.to_ascii_uppercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'A'..=b'H' => letter - b'A' + 1,
            letter @ b'J'..=b'N' => letter - b'J' + 1,
            b'P' => 7,
            b'R' => 9,
            letter @ b'S'..=b'Z' => letter - b'S' + 2,
            _ => return false,
        };
        sum += u32::from(value) * weight;
    }
    let expected = match sum % 11 {
        10 => b'X',
        digit => b'0' + u8::try_from(digit).unwrap_or(0),
    };
    vin[8].eq_ignore_ascii_case(&expected)
}

/// The longest pieces of a text made of such characters, with no letter or digit touching either end.
fn tokens(text: &str, of: fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c: char| !of(c) && !c.is_alphanumeric())
        .filter(move |token| !token.is_empty() && token.chars().all(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_vehicles_are_seen_and_codes_are_not() {
        for text in [
            "2001:db8::8a2e:370:7334",
            "at 2001:0db8:85a3:0000:0000:8a2e:0370:7334.",
            "fe80::1ff:fe23",
        ] {
            assert!(is_internet_six(text), "{text}");
        }
        for text in [
            "15:01:01:02",
            "10:30:00",
            "::",
            "a::b",
            "12::30",
            "HLA-B*15:01:01",
            "urn:oid:1",
            "1:2:3:4:5:6:7",
            "c.1521:A",
        ] {
            assert!(!is_internet_six(text), "{text}");
        }
        for text in ["00:1B:44:11:3A:B7", "nic 00-1b-44-11-3a-b7"] {
            assert!(is_network_card(text), "{text}");
        }
        for text in ["00:1B:44:11:3A", "00-1B:44-11-3A-B7", "12345-6789-01-2345", "x00:1B:44:11:3A:B7y"] {
            assert!(!is_network_card(text), "{text}");
        }
        for text in ["1M8GDM9AXKP042788", "VIN: 1hgcm82633a004352"] {
            assert!(is_vehicle(text), "{text}");
        }
        for text in [
            "1M8GDM9AXKP042789",
            "11111111111111111",
            "12345678901234567",
            "1M8GDM9AXKP04278",
            "ABCDEFGHJKLMNPRST",
        ] {
            assert!(!is_vehicle(text), "{text}");
        }
    }
}
