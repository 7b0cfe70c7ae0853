//! Places no smaller than the law allows: three-digit ZIP areas of more than 20,000 people, and states.
//! Basis: 45 CFR 164.514(b)(2)(i)(B). Facts: US Census Bureau, 2020 DHC, table P1_001N, summed over ZIP code tabulation
//! areas by their first three digits (894 prefixes, 18 of them with at most 20,000 people). An allow-list: a prefix the
//! census does not know (military, one building's own, foreign) becomes `000`. The guidance's list of 2000 (17 prefixes)
//! is history and is not used.

use std::borrow::Cow;

/// The facts below as a word for digests: a change of census is a change of policy.
pub(super) const CENSUS: &str = "zip3 census 2020";

/// The prefixes with people in them, as ranges from..=to.
const ASSIGNED: [(u16, u16); 65] = [
    (6, 7),
    (9, 54),
    (56, 89),
    (100, 191),
    (193, 212),
    (214, 268),
    (270, 310),
    (312, 331),
    (333, 339),
    (341, 342),
    (344, 344),
    (346, 347),
    (349, 352),
    (354, 374),
    (376, 398),
    (400, 418),
    (420, 427),
    (430, 458),
    (460, 508),
    (510, 516),
    (520, 528),
    (530, 532),
    (534, 535),
    (537, 551),
    (553, 554),
    (556, 567),
    (570, 577),
    (580, 588),
    (590, 620),
    (622, 631),
    (633, 641),
    (644, 648),
    (650, 658),
    (660, 662),
    (664, 681),
    (683, 693),
    (700, 701),
    (703, 708),
    (710, 714),
    (716, 731),
    (734, 741),
    (743, 770),
    (772, 816),
    (820, 838),
    (840, 841),
    (843, 847),
    (850, 853),
    (855, 857),
    (859, 860),
    (863, 865),
    (870, 871),
    (873, 875),
    (877, 884),
    (890, 891),
    (893, 895),
    (897, 898),
    (900, 900),
    (902, 908),
    (910, 928),
    (930, 937),
    (939, 941),
    (943, 961),
    (967, 968),
    (970, 986),
    (988, 999),
];

/// The prefixes with at most 20,000 people.
const RESTRICTED: [u16; 18] = [
    36, 59, 102, 202, 203, 204, 205, 369, 556, 692, 753, 772, 821, 823, 878, 879, 884, 893,
];

/// The digits of a US ZIP text: three, five or nine (with or without a hyphen or a space). `None` for anything else.
fn zip_digits(text: &str) -> Option<&str> {
    let text = text.trim();
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match text.len() {
        3 | 5 | 9 if all_digits(text) => Some(text),
        10 if matches!(text.as_bytes()[5], b'-' | b' ') && all_digits(&text[..5]) && all_digits(&text[6..]) => Some(&text[..5]),
        _ => None,
    }
}

/// The first three digits of a ZIP text where more than 20,000 people live there; else `000`.
pub(super) fn zip3(text: &str) -> &str {
    zip_digits(text)
        .map(|digits| &digits[..3])
        .filter(|prefix| prefix.parse().is_ok_and(is_populous))
        .unwrap_or("000")
}

/// The first five digits of a ZIP text; `None` if it has fewer or is no ZIP.
pub(super) fn zip5(text: &str) -> Option<&str> {
    zip_digits(text)?.get(..5)
}

/// The nine digits of a ZIP text, without what stands between them; `None` if it has fewer or is no ZIP.
pub(super) fn zip9(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    zip_digits(text)?;
    match text.len() {
        9 => Some(Cow::Borrowed(text)),
        10 => Some(Cow::Owned([&text[..5], &text[6..]].concat())),
        _ => None,
    }
}

fn is_populous(prefix: u16) -> bool {
    let assigned = ASSIGNED.iter().any(|&(from, to)| (from..=to).contains(&prefix));
    assigned && !RESTRICTED.contains(&prefix)
}

/// States, the District, territories and the military's three, as their two letters and name.
#[rustfmt::skip]
const STATES: [(&str, &str); 59] = [
    ("AL", "Alabama"), ("AK", "Alaska"), ("AZ", "Arizona"), ("AR", "Arkansas"), ("CA", "California"), ("CO", "Colorado"),
    ("CT", "Connecticut"), ("DE", "Delaware"), ("DC", "District of Columbia"), ("FL", "Florida"), ("GA", "Georgia"),
    ("HI", "Hawaii"), ("ID", "Idaho"), ("IL", "Illinois"), ("IN", "Indiana"), ("IA", "Iowa"), ("KS", "Kansas"),
    ("KY", "Kentucky"), ("LA", "Louisiana"), ("ME", "Maine"), ("MD", "Maryland"), ("MA", "Massachusetts"),
    ("MI", "Michigan"), ("MN", "Minnesota"), ("MS", "Mississippi"), ("MO", "Missouri"), ("MT", "Montana"),
    ("NE", "Nebraska"), ("NV", "Nevada"), ("NH", "New Hampshire"), ("NJ", "New Jersey"), ("NM", "New Mexico"),
    ("NY", "New York"), ("NC", "North Carolina"), ("ND", "North Dakota"), ("OH", "Ohio"), ("OK", "Oklahoma"),
    ("OR", "Oregon"), ("PA", "Pennsylvania"), ("RI", "Rhode Island"), ("SC", "South Carolina"), ("SD", "South Dakota"),
    ("TN", "Tennessee"), ("TX", "Texas"), ("UT", "Utah"), ("VT", "Vermont"), ("VA", "Virginia"), ("WA", "Washington"),
    ("WV", "West Virginia"), ("WI", "Wisconsin"), ("WY", "Wyoming"), ("AS", "American Samoa"), ("GU", "Guam"),
    ("MP", "Northern Mariana Islands"), ("PR", "Puerto Rico"), ("VI", "Virgin Islands"), ("AA", "Armed Forces Americas"),
    ("AE", "Armed Forces Europe"), ("AP", "Armed Forces Pacific"),
];

/// The two letters of a state written as letters or by name; `None` for anything else.
pub(super) fn state(text: &str) -> Option<&'static str> {
    let text = text.trim();
    STATES
        .iter()
        .find(|(letters, name)| text.eq_ignore_ascii_case(letters) || text.eq_ignore_ascii_case(name))
        .map(|(letters, _)| *letters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_allow_list_has_the_census_own_size() {
        let assigned: u16 = ASSIGNED.iter().map(|(from, to)| to - from + 1).sum();
        assert_eq!(assigned, 894);
        assert_eq!((0..1000).filter(|prefix| is_populous(*prefix)).count(), 894 - 18);
        assert!(
            ASSIGNED.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0),
            "ranges are sorted and apart"
        );
    }

    #[test]
    fn a_small_unknown_or_foreign_area_is_hidden() {
        for text in [
            "03601",
            "036",
            "05901",
            "10201",
            "09012",
            "090",
            "00501",
            "99999-",
            "K1A 0B1",
            "1010",
            "",
            "75001-123",
            "0213",
            "2139",
            "02139-12345",
            "O2139",
            "77201",
            "36901",
        ] {
            assert_eq!(zip3(text), "000", "{text}");
        }
    }

    #[test]
    fn a_populous_area_keeps_its_three_digits() {
        for (text, expected) in [
            ("10001", "100"),
            ("02139", "021"),
            ("02139-4307", "021"),
            ("021394307", "021"),
            (" 02139 ", "021"),
            ("063", "063"),
            ("00601", "006"),
            ("999", "999"),
        ] {
            assert_eq!(zip3(text), expected, "{text}");
        }
    }

    #[test]
    fn five_digits_need_five_digits() {
        assert_eq!(zip5("02139-4307"), Some("02139"));
        assert_eq!(zip5("021"), None);
        assert_eq!(zip5("K1A 0B1"), None);
        assert_eq!(zip3("é1234"), "000");
        assert_eq!(zip5("12é4-123"), None);
    }

    #[test]
    fn nine_digits_need_nine_digits() {
        for nine in ["02139-4307", "02139 4307", "021394307", " 02139-4307 "] {
            assert_eq!(zip9(nine).as_deref(), Some("021394307"), "{nine}");
        }
        for other in ["02139", "021", "02139-430", "K1A 0B1", "12é4-123", ""] {
            assert_eq!(zip9(other), None, "{other}");
        }
    }

    #[test]
    fn a_state_is_known_by_letters_or_name_and_a_county_is_not_a_state() {
        assert_eq!(state("MA"), Some("MA"));
        assert_eq!(state(" massachusetts "), Some("MA"));
        assert_eq!(state("Suffolk County"), None);
        assert_eq!(state(""), None);
    }

    proptest! {
        #[test]
        fn nothing_but_three_digits_of_a_populous_area_or_zeros_comes_out(text in "[0-9]{0,10}|[0-9]{5}-[0-9]{4}|\\PC{0,12}") {
            let released = zip3(&text);
            prop_assert_eq!(released.len(), 3);
            let prefix: u16 = released.parse().expect("three digits");
            prop_assert!(released == "000" || (is_populous(prefix) && text.trim().starts_with(released)));
        }
    }
}
