//! Writes one segment: splits bytes into frames of whole lines, hashes, compresses and seals them on the way to the disk.
//! Holds one frame and one line in memory. Nothing plain reaches the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use memchr::{memchr, memchr_iter, memrchr};
use rusqlite::Connection;
use zstd::bulk::Compressor;

use super::frame::{FRAME_HEAD_BYTES, HEAD_BYTES, Seal};
use super::row;
use super::segment::{Kind, LandingError, Segment};
use crate::origin::SegmentId;
use crate::platform::file::Durable;
use crate::platform::secret::{Secret, Sha256, hex};

/// A frame is closed at the last line end once it holds this much.
const FRAME_BYTES: usize = 1 << 20;
/// Input is taken in pieces of this size, whatever the caller hands over.
const PIECE_BYTES: usize = 256 << 10;

/// A segment under way.
pub struct SegmentWriter {
    file: Durable,
    path: PathBuf,
    seal: Seal,
    zstd: Compressor<'static>,
    digest: Sha256,
    /// Plain bytes of the frame under way.
    frame: Vec<u8>,
    /// Where in `frame` the line under way begins.
    line_start: usize,
    line_bytes: usize,
    segment: Segment,
    database: Arc<Mutex<Connection>>,
}

/// Where a writer works: the store's directory, key and limits.
pub(super) struct Place<'a> {
    pub(super) dir: &'a Path,
    pub(super) key: &'a Secret,
    pub(super) line_bytes: usize,
    pub(super) database: &'a Arc<Mutex<Connection>>,
}

impl SegmentWriter {
    pub(super) fn begin(place: &Place<'_>, name: String, run: i64, resource_type: &str, kind: Kind) -> Result<Self, LandingError> {
        let path = place.dir.join(&name);
        let mut file = Durable::create(&path)?;
        let (seal, head) = Seal::create(place.key);
        file.write(&head)?;
        Ok(Self {
            file,
            path,
            seal,
            zstd: Compressor::new(1).expect("level 1 is a level of zstd"),
            digest: Sha256::new(),
            frame: Vec::with_capacity(FRAME_BYTES + PIECE_BYTES),
            line_start: 0,
            line_bytes: place.line_bytes,
            segment: Segment {
                id: SegmentId(0),
                run,
                resource_type: resource_type.to_owned(),
                kind,
                lines: 0,
                bytes: 0,
                sha256: String::new(),
                file: name,
                sealed_bytes: HEAD_BYTES as u64,
            },
            database: place.database.clone(),
        })
    }

    /// Takes the next bytes, cut anywhere.
    /// A line beyond the limit is cut, one byte after the limit.
    /// # Errors: the disk. The writer is of no use then: drop it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LandingError> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.take(piece)?;
        }
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), LandingError> {
        if self.has_long_line(piece) {
            for line in piece.split_inclusive(|&byte| byte == b'\n') {
                self.take_cut(line);
            }
        } else {
            self.digest.update(piece);
            self.segment.bytes += piece.len() as u64;
            if let Some(last) = memrchr(b'\n', piece) {
                self.line_start = self.frame.len() + last + 1;
            }
            self.frame.extend_from_slice(piece);
        }
        if self.frame.len() >= FRAME_BYTES && self.line_start > 0 {
            self.close_frame(self.line_start, false)?;
        }
        Ok(())
    }

    /// Whether a line would be longer than the limit with `piece`.
    fn has_long_line(&self, piece: &[u8]) -> bool {
        let mut line = self.frame.len() - self.line_start;
        let mut from = 0;
        while let Some(end) = memchr(b'\n', &piece[from..]) {
            if line + end > self.line_bytes {
                return true;
            }
            line = 0;
            from += end + 1;
        }
        line + piece.len() - from > self.line_bytes
    }

    /// Takes a part of one line, up to its end at most. Of a line beyond the limit one byte more than the limit is kept:
    /// who reads it sees that it is too long and refuses that line, the others go on.
    fn take_cut(&mut self, part: &[u8]) {
        let (body, end) = match part.strip_suffix(b"\n") {
            Some(body) => (body, &b"\n"[..]),
            None => (part, &b""[..]),
        };
        let room = (self.line_bytes + 1).saturating_sub(self.frame.len() - self.line_start);
        for kept in [&body[..body.len().min(room)], end] {
            self.digest.update(kept);
            self.segment.bytes += kept.len() as u64;
            self.frame.extend_from_slice(kept);
        }
        if !end.is_empty() {
            self.line_start = self.frame.len();
        }
    }

    fn close_frame(&mut self, length: usize, last: bool) -> Result<(), LandingError> {
        let plain = &self.frame[..length];
        self.segment.lines += count_lines(plain);
        let (head, content) = self.seal.seal(&mut self.zstd, plain, last).ok_or(LandingError::LineTooLong {
            max_bytes: self.line_bytes,
        })?;
        self.file.write(&head)?;
        self.file.write(&content)?;
        self.segment.sealed_bytes += (FRAME_HEAD_BYTES + content.len()) as u64;
        self.frame.copy_within(length.., 0);
        self.frame.truncate(self.frame.len() - length);
        self.line_start -= length.min(self.line_start);
        Ok(())
    }

    /// Lines taken so far that are not blank, the unfinished one included.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.segment.lines + count_lines(&self.frame)
    }

    /// Plain bytes taken so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segment.bytes
    }

    /// The bytes after the last line end; empty when the content so far ends with one (or there is none).
    #[must_use]
    pub fn unfinished_line(&self) -> &[u8] {
        &self.frame[self.line_start..]
    }

    /// Whether the unfinished line is beyond the limit, and so cut.
    #[must_use]
    pub fn is_line_cut(&self) -> bool {
        self.unfinished_line().len() > self.line_bytes
    }

    /// Whether nothing stands after the last line end.
    #[must_use]
    pub fn ends_with_newline(&self) -> bool {
        self.unfinished_line().is_empty()
    }

    /// The whole content as a segment: durable file first, then its row.
    /// # Errors: the disk or the database; there is no segment then.
    pub fn seal(self) -> Result<Segment, LandingError> {
        let database = self.database.clone();
        let mut segments = row::register(&database, vec![self.finish()?], |_, _| Ok(()))?;
        Ok(segments.remove(0))
    }

    /// The whole content, durable on disk, but not yet a segment: `Landing::register` makes it one.
    /// # Errors: the disk; nothing stays then.
    pub fn finish(mut self) -> Result<Sealed, LandingError> {
        self.close_frame(self.frame.len(), true)?;
        let Self {
            file,
            path,
            digest,
            mut segment,
            ..
        } = self;
        file.finish()?;
        segment.sha256 = hex(&digest.finish());
        Ok(Sealed {
            path,
            segment: Some(segment),
        })
    }
}

/// A finished file without a row. Dropped before `Landing::register`, it is removed.
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    segment: Option<Segment>,
}

impl Sealed {
    pub(super) fn into_segment(mut self) -> Segment {
        self.segment.take().expect("a sealed file is registered once, by value")
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if self.segment.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn count_lines(plain: &[u8]) -> u64 {
    let mut lines = 0;
    let mut start = 0;
    for end in memchr_iter(b'\n', plain).chain([plain.len()]) {
        if plain[start..end].iter().any(|byte| !byte.is_ascii_whitespace()) {
            lines += 1;
        }
        start = (end + 1).min(plain.len());
    }
    lines
}
