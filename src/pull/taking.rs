//! Takes one file's plain content: holds it while it is small, writes it into a segment of its own once it is not. On the
//! way it counts the lines, looks at their types, and notices when the server gives other content than at the last try.

use std::io::BufRead;

use super::batch::Batches;
use super::body::{Caps, NotTaken, is_whole, refuse_page, unpack};
use super::by_type::ByType;
use super::job::{self, File};
use super::lines::Lines;
use crate::landing::{Kind, Landing, LandingError, SegmentWriter};
use crate::platform::secret::Sha256;

/// Files up to this size are landed together with others.
const SMALL_BYTES: usize = 256 << 10;

/// What one try gave of a file: so many plain bytes, with this SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    bytes: u64,
    sha256: [u8; 32],
}

/// What a whole file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// In a segment of its own; plain bytes.
    Landed(u64),
    /// Held with others, to be entered soon; plain bytes.
    Held(u64),
    /// Fewer or more resources than the manifest counted; nothing was kept.
    Miscounted,
}

/// One try at one file.
pub(super) struct Taken {
    pub(super) outcome: Result<Outcome, NotTaken>,
    /// What this try saw, for the next one.
    pub(super) prefix: Prefix,
    /// It began otherwise than the try before.
    pub(super) is_changed: bool,
}

/// The disk's side of a download.
pub(super) struct Taker<'a> {
    pub(super) landing: &'a Landing,
    pub(super) run: i64,
    pub(super) batches: &'a Batches,
    pub(super) caps: Caps,
    /// The server counted this file wrongly before: what comes now is kept, and noted.
    pub(super) any_count: bool,
    /// What the try before saw.
    pub(super) before: Option<Prefix>,
}

impl Taker<'_> {
    /// Everything of `source` into the landing store, checked, and entered together with the file's state.
    pub(super) fn take(&self, source: impl BufRead, file: &File) -> Taken {
        let mut content = Content {
            place: Place::Held(Vec::new()),
            lines: Lines::of(&file.listed.resource_type, self.landing.line_limit()),
            watch: Watch::new(self.before),
        };
        let mut begun = false;
        let whole = unpack(source, &self.caps, |plain| {
            refuse_page(&mut begun, plain)?;
            content.watch.see(plain);
            content.lines.look(plain);
            content.place.write(self, file, plain)
        });
        content.lines.end();
        let is_whole = whole.is_ok();
        let Content { place, lines, watch } = content;
        let (prefix, is_changed) = watch.finish(is_whole);
        Taken {
            outcome: whole.and_then(|()| self.keep(place, &lines, prefix.bytes, file)),
            prefix,
            is_changed,
        }
    }

    fn keep(&self, place: Place, lines: &Lines, bytes: u64, file: &File) -> Result<Outcome, NotTaken> {
        place.refuse_cut(self.landing.line_limit())?;
        let expected = file.listed.expected.filter(|expected| !lines.is_counted(*expected));
        if expected.is_some() && !self.any_count {
            return Ok(Outcome::Miscounted);
        }
        let problem = problem(lines, expected);
        let sealed = match place {
            Place::Held(plain) => {
                self.batches.add(file, &plain, problem)?;
                return Ok(Outcome::Held(bytes));
            }
            Place::Segment(writer) => vec![writer.finish()?],
            Place::Sorted(mut sorted) => {
                sorted.end()?;
                sorted.finish()?
            }
        };
        self.landing.register(sealed, |tx, segments| {
            let segment = segments.first().map(|segment| segment.id);
            job::landed(tx, self.run, file.seq, segment, problem.as_deref())
        })?;
        Ok(Outcome::Landed(bytes))
    }
}

fn problem(lines: &Lines, expected: Option<u64>) -> Option<String> {
    let count = lines.count();
    let miscount = expected.map(|expected| format!("it has {count} resources, the manifest says {expected}, also when asked again"));
    let strange = (lines.strange() > 0).then(|| {
        format!(
            "{} of its {count} resources are of another type than the manifest says",
            lines.strange()
        )
    });
    match (miscount, strange) {
        (Some(miscount), Some(strange)) => Some(format!("{miscount}; {strange}")),
        (one, other) => one.or(other),
    }
}

struct Content {
    place: Place,
    lines: Lines,
    watch: Watch,
}

/// Where the content of one file is.
enum Place {
    Held(Vec<u8>),
    Segment(SegmentWriter),
    /// A segment for each type, since the file may hold any.
    Sorted(ByType),
}

impl Place {
    fn write(&mut self, taker: &Taker<'_>, file: &File, plain: &[u8]) -> Result<(), NotTaken> {
        if let Self::Held(held) = self {
            if held.len() + plain.len() <= SMALL_BYTES {
                held.extend_from_slice(plain);
                return Ok(());
            }
            let held = std::mem::take(held);
            *self = Self::begin(taker, file)?;
            self.append(&held)?;
        }
        self.append(plain)
    }

    fn begin(taker: &Taker<'_>, file: &File) -> Result<Self, LandingError> {
        let (name, kind) = (&file.listed.resource_type, file.listed.kind);
        if kind == Kind::Resources && name.is_empty() {
            return Ok(Self::Sorted(ByType::new(taker.landing.clone(), taker.run).without_headers()));
        }
        taker.landing.begin(taker.run, name, kind).map(Self::Segment)
    }

    fn append(&mut self, plain: &[u8]) -> Result<(), NotTaken> {
        match self {
            Self::Held(held) => {
                held.extend_from_slice(plain);
                Ok(())
            }
            Self::Segment(writer) => Ok(writer.write(plain)?),
            Self::Sorted(sorted) => sorted.take(plain),
        }
    }

    /// # Errors: the last line lacks its line end, and is not all there.
    fn refuse_cut(&self, line_limit: usize) -> Result<(), NotTaken> {
        let last = match self {
            Self::Held(held) => &held[memchr::memrchr(b'\n', held).map_or(0, |end| end + 1)..],
            Self::Segment(writer) => writer.unfinished_line(),
            // Sees to it at its end.
            Self::Sorted(_) => &[],
        };
        // Of a line that was cut for its length nobody can say whether it was whole; it is refused later, whatever it was.
        if last.len() <= line_limit && !is_whole(last) {
            return Err(NotTaken::Cut("its last line is cut"));
        }
        Ok(())
    }
}

/// Compares what comes with what came before, as far as that went.
struct Watch {
    digest: Sha256,
    bytes: u64,
    before: Option<Prefix>,
    /// Over the first bytes, as many as came before.
    again: Sha256,
}

impl Watch {
    fn new(before: Option<Prefix>) -> Self {
        Self {
            digest: Sha256::new(),
            bytes: 0,
            before,
            again: Sha256::new(),
        }
    }

    fn see(&mut self, plain: &[u8]) {
        self.digest.update(plain);
        if let Some(before) = &self.before {
            let left = usize::try_from(before.bytes.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
            self.again.update(&plain[..plain.len().min(left)]);
        }
        self.bytes += plain.len() as u64;
    }

    /// What is known for the next try, and whether this one was of other content. A cut try that came less far than the one
    /// before tells nothing new.
    fn finish(self, is_whole: bool) -> (Prefix, bool) {
        let prefix = Prefix {
            bytes: self.bytes,
            sha256: self.digest.finish(),
        };
        match self.before {
            Some(before) if self.bytes >= before.bytes => (prefix, self.again.finish() != before.sha256),
            Some(_) if is_whole => (prefix, true),
            Some(before) => (before, false),
            None => (prefix, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_is_noticed_as_far_as_both_tries_went() {
        let seen = |text: &str, before, is_whole| {
            let mut watch = Watch::new(before);
            text.as_bytes().chunks(3).for_each(|piece| watch.see(piece));
            watch.finish(is_whole)
        };
        let (first, _) = seen("abcdefg", None, false);
        for (text, is_whole, expected) in [
            ("abcdefghi", true, false),
            ("abcdefghi", false, false),
            ("abcdefg", true, false),
            ("abcdefx", true, true),
            ("xbcdefghi", false, true),
            // Shorter and at its end: it was longer before.
            ("abcd", true, true),
            // Shorter, since it was cut: nothing is known.
            ("abcx", false, false),
        ] {
            let (next, is_changed) = seen(text, Some(first), is_whole);
            assert_eq!(is_changed, expected, "{text}");
            assert_eq!(next == first, text == "abcdefg" || text == "abcx", "{text}");
        }
    }
}
