//! Turns the pieces of a download into plain content on its way to the landing store: a bounded queue between the network
//! and a thread that may block, gzip told by its first bytes, caps on what it unpacks to. A cut is an error, never an end.

use std::cell::Cell;
use std::io::{self, BufRead, Cursor, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use serde::de::IgnoredAny;
use tokio::sync::mpsc::Receiver;

use crate::landing::{LandingError, SegmentWriter};

/// Pieces that may wait between the network and the disk.
pub(super) const QUEUE: usize = 8;
/// Gzip is unpacked in pieces of this size.
const ROOM: usize = 128 << 10;
/// Below this much plain content the ratio says nothing.
const RATIO_FROM: u64 = 1 << 20;

/// One piece of a body, or its proper end. A queue closed without `End` is a cut.
pub(super) enum Piece {
    Bytes(Bytes),
    End,
}

/// The disk's side of the queue.
pub(super) struct Incoming {
    receiver: Receiver<Piece>,
    piece: Bytes,
    ended: bool,
}

impl Incoming {
    pub(super) fn new(receiver: Receiver<Piece>) -> Self {
        Self {
            receiver,
            piece: Bytes::new(),
            ended: false,
        }
    }
}

impl BufRead for Incoming {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.piece = bytes,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        let _ = self.piece.split_to(amount);
    }
}

impl Read for Incoming {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, out)
    }
}

fn read_buffered(from: &mut impl BufRead, out: &mut [u8]) -> io::Result<usize> {
    let length = {
        let from = from.fill_buf()?;
        let length = from.len().min(out.len());
        out[..length].copy_from_slice(&from[..length]);
        length
    };
    from.consume(length);
    Ok(length)
}

/// Caps on one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) plain_bytes: u64,
    pub(super) ratio: u64,
}

/// Why content was not taken. Words of ours, without a byte of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// Taking it again may help.
    #[error("{0}")]
    Cut(&'static str),
    /// It will be the same again.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Landing(LandingError),
}

impl From<LandingError> for NotTaken {
    fn from(error: LandingError) -> Self {
        match error {
            LandingError::LineTooLong { .. } => Self::Refused(error.to_string()),
            other => Self::Landing(other),
        }
    }
}

/// Hands the plain content of `source` to `take`, piece by piece, to its proper end.
/// # Errors: a cut or damaged body, a broken cap, and what `take` refuses.
pub(super) fn unpack(source: impl BufRead, caps: &Caps, mut take: impl FnMut(&[u8]) -> Result<(), NotTaken>) -> Result<(), NotTaken> {
    let packed = Cell::new(0);
    let mut source = Counted { source, count: &packed };
    let first = two_bytes(&mut source).map_err(|_| NotTaken::Cut("its content broke off"))?;
    // Told by content, not by header: storage services serve gzip as it is, and some proxies unpack and leave the header.
    let is_gzip = first == [0x1f, 0x8b];
    let mut whole = Cursor::new(first).chain(source);
    let mut plain = 0u64;
    let mut check = |piece: &[u8]| {
        plain += piece.len() as u64;
        if plain > caps.plain_bytes {
            return Err(NotTaken::Refused(format!("it is longer than {} bytes", caps.plain_bytes)));
        }
        if is_gzip && plain > RATIO_FROM && plain > packed.get().saturating_mul(caps.ratio) {
            return Err(NotTaken::Refused(format!("it unpacks to more than {} times its size", caps.ratio)));
        }
        take(piece)
    };
    if is_gzip {
        let mut reader = MultiGzDecoder::new(whole);
        let mut room = vec![0; ROOM];
        loop {
            match reader.read(&mut room) {
                Ok(0) => return Ok(()),
                Ok(length) => check(&room[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(NotTaken::Cut("its gzip content broke off or is damaged")),
            }
        }
    }
    // Plain content is taken where it stands, without a copy.
    loop {
        let length = match whole.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(piece) => {
                check(piece)?;
                piece.len()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(NotTaken::Cut("its content broke off")),
        };
        whole.consume(length);
    }
}

/// Takes a whole NDJSON body into `writer`: begins like JSON, ends with a line end or with a whole line.
/// # Errors: as `unpack`.
pub(super) fn take_ndjson(source: impl BufRead, caps: &Caps, writer: &mut SegmentWriter) -> Result<(), NotTaken> {
    let mut begun = false;
    unpack(source, caps, |plain| {
        refuse_page(&mut begun, plain)?;
        Ok(writer.write(plain)?)
    })?;
    // Of a line that was cut for its length nobody can say whether it was whole; it is refused later, whatever it was.
    if !writer.is_line_cut() && !is_whole(writer.unfinished_line()) {
        return Err(NotTaken::Cut("its last line is cut"));
    }
    Ok(())
}

/// Refuses content whose first byte is none of NDJSON. `begun` is false until that byte was seen.
/// # Errors: it begins otherwise.
pub(super) fn refuse_page(begun: &mut bool, plain: &[u8]) -> Result<(), NotTaken> {
    if !*begun && let Some(first) = plain.iter().find(|byte| !byte.is_ascii_whitespace()) {
        *begun = true;
        // A byte order mark is let through: refusing its line is `validate`'s.
        if !matches!(first, b'{' | 0xEF) {
            return Err(NotTaken::Cut("it is no NDJSON; a sign-in or error page, perhaps"));
        }
    }
    Ok(())
}

/// Whether a last line without line end is all there.
pub(super) fn is_whole(line: &[u8]) -> bool {
    line.trim_ascii().is_empty() || serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

fn two_bytes(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(2);
    source.take(2).read_to_end(&mut first)?;
    Ok(first)
}

/// Counts what is consumed.
struct Counted<'a, S> {
    source: S,
    count: &'a Cell<u64>,
}

impl<S: BufRead> BufRead for Counted<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.count.set(self.count.get() + amount as u64);
        self.source.consume(amount);
    }
}

impl<S: BufRead> Read for Counted<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const CAPS: Caps = Caps {
        plain_bytes: 4 << 20,
        ratio: 200,
    };

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn all(packed: &[u8]) -> Result<Vec<u8>, NotTaken> {
        let mut out = Vec::new();
        unpack(packed, &CAPS, |plain| {
            out.extend_from_slice(plain);
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn plain_and_gzip_of_several_members_come_out_the_same() {
        let lines = b"{\"a\":1}\n{\"b\":2}\n";
        assert_eq!(all(lines).unwrap(), lines);
        assert_eq!(all(&gzip(lines)).unwrap(), lines);
        assert_eq!(all(&[gzip(&lines[..8]), gzip(&lines[8..])].concat()).unwrap(), lines);
        assert_eq!(all(b"").unwrap(), b"");
        assert_eq!(all(b"{").unwrap(), b"{");
    }

    #[test]
    fn gzip_cut_anywhere_or_damaged_is_found() {
        let whole = gzip(&b"{\"a\":1}\n".repeat(50));
        for length in 2..whole.len() {
            assert!(matches!(all(&whole[..length]), Err(NotTaken::Cut(_))), "cut at {length}");
        }
        let mut changed = whole.clone();
        let at = changed.len() - 6;
        changed[at] ^= 1;
        assert!(matches!(all(&changed), Err(NotTaken::Cut(_))), "the check sum is checked");
        let followed = [&whole[..], b"more"].concat();
        assert!(matches!(all(&followed), Err(NotTaken::Cut(_))), "nothing may follow");
    }

    #[test]
    fn a_bomb_is_refused_by_ratio_and_a_long_file_by_length() {
        let bomb = gzip(&vec![b' '; 3 << 20]);
        let text = all(&bomb).unwrap_err().to_string();
        assert!(text.contains("200 times"), "{text}");
        assert!(all(&gzip(&vec![b' '; 1 << 20])).is_ok(), "the first MiB is free");
        assert!(all(&vec![b' '; 4 << 20]).is_ok());
        let text = all(&vec![b' '; (4 << 20) + 1]).unwrap_err().to_string();
        assert!(text.contains("longer than 4194304 bytes"), "{text}");
    }

    #[test]
    fn a_queue_closed_without_its_end_is_a_cut() {
        for ended in [true, false] {
            let (sender, receiver) = tokio::sync::mpsc::channel(QUEUE);
            sender.try_send(Piece::Bytes(Bytes::from_static(b"{}"))).unwrap();
            sender.try_send(Piece::Bytes(Bytes::from_static(b"\n{}\n"))).unwrap();
            if ended {
                sender.try_send(Piece::End).unwrap();
            }
            drop(sender);
            let mut out = Vec::new();
            let done = unpack(Incoming::new(receiver), &CAPS, |plain| {
                out.extend_from_slice(plain);
                Ok(())
            });
            assert_eq!(done.is_ok(), ended);
            assert_eq!(out, b"{}\n{}\n");
        }
    }

    #[test]
    fn a_last_line_without_line_end_must_be_whole() {
        for (line, expected) in [
            ("", true),
            ("  ", true),
            ("{\"a\":1}", true),
            ("{\"a\":1", false),
            ("{\"a\":1}{", false),
            ("{", false),
        ] {
            assert_eq!(is_whole(line.as_bytes()), expected, "{line}");
        }
    }
}
