//! The name of a submission: `<site>-<sequence, 8 digits>-<16 hex of the content>`.
//! The name is read from its end, so a site's own hyphens and digits cannot be mistaken for the rest.

use std::fmt;

use super::text::is_hex;

/// A submission's name, taken apart. The same content gives the same name, so sending again is the same submission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubmissionId {
    site: String,
    sequence: u64,
    content: String,
}

/// A site's name: 1 to 32 lower-case letters, digits and inner hyphens, a letter first.
pub fn is_site_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

impl SubmissionId {
    /// The name of the `sequence`th submission of `site` whose content has this SHA-256 (hex).
    /// `None` when a part is no part of a name.
    pub fn new(site: &str, sequence: u64, content_sha256: &str) -> Option<Self> {
        let content = content_sha256.get(..16).filter(|content| is_hex(content))?;
        (is_site_name(site) && (1..=99_999_999).contains(&sequence)).then(|| Self {
            site: site.to_owned(),
            sequence,
            content: content.to_owned(),
        })
    }

    /// Reads a name; anything else than exactly what `Display` writes is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, content) = text.rsplit_once('-')?;
        let (site, sequence) = rest.rsplit_once('-')?;
        if sequence.len() != 8 || !sequence.bytes().all(|byte| byte.is_ascii_digit()) || content.len() != 16 {
            return None;
        }
        Self::new(site, sequence.parse().ok()?, content)
    }

    pub fn site(&self) -> &str {
        &self.site
    }

    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08}-{}", self.site, self.sequence, self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        let id = SubmissionId::new("lake-9", 12, &"ab".repeat(32)).expect("a good name");
        assert_eq!(id.to_string(), "lake-9-00000012-abababababababab");
        assert_eq!(SubmissionId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn a_site_that_looks_like_a_name_does_not_change_whose_it_is() {
        let id = SubmissionId::parse("a-00000001-b-00000002-abababababababab").expect("a good name");
        assert_eq!((id.site(), id.sequence()), ("a-00000001-b", 2));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            "a-1-abababababababab",
            "a-00000000-abababababababab",
            "A-00000001-abababababababab",
            "-00000001-abababababababab",
            "a-00000001-ABABABABABABABAB",
            "a-00000001-abababababababab ",
            "../a-00000001-abababababababab",
            "a-+0000001-abababababababab",
            "a-00000001-ababababababab",
            "a-00000001-abababababababab\0",
            "é-00000001-abababababababab",
        ] {
            assert_eq!(SubmissionId::parse(bad), None, "{bad:?}");
        }
        assert!(!is_site_name(&"a".repeat(33)));
        assert!(is_site_name(&"a".repeat(32)));
    }
}
