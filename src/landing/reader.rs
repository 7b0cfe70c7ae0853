//! Reads a segment back, frame by frame, and believes nothing it did not write: every byte is authenticated, the end is
//! the end, the whole has the digest, the length and the lines of its row.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use memchr::memchr_iter;
use zstd::bulk::Decompressor;

use super::frame::{FRAME_HEAD_BYTES, FrameHead, HEAD_BYTES, Seal};
use super::segment::{LandingError, Segment};
use crate::platform::secret::{Secret, Sha256, hex};

/// The frames of one segment, in order. Every frame is whole lines; only the last may lack its line end.
/// Holds one sealed frame in memory. After an error it gives nothing more.
pub struct FrameReader {
    file: BufReader<File>,
    seal: Seal,
    zstd: Decompressor<'static>,
    segment: Segment,
    /// Sealed bytes not yet read, by the row.
    left: u64,
    sealed: Vec<u8>,
    digest: Option<Sha256>,
    bytes: u64,
    first_line: u64,
    next_line: u64,
}

impl FrameReader {
    pub(super) fn open(path: &Path, key: &Secret, segment: &Segment) -> Result<Self, LandingError> {
        let damaged = |what| LandingError::damaged(segment, what);
        let file = File::open(path).map_err(|_| damaged("has no readable file"))?;
        let length = file.metadata().map_err(|_| damaged("has no readable file"))?.len();
        if length != segment.sealed_bytes {
            return Err(damaged("is longer or shorter than it was written"));
        }
        let mut file = BufReader::new(file);
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head).map_err(|_| damaged("has no head"))?;
        Ok(Self {
            file,
            seal: Seal::of(key, &head).ok_or_else(|| damaged("has a changed head"))?,
            zstd: Decompressor::new().map_err(|_| damaged("cannot be decompressed: out of memory"))?,
            segment: segment.clone(),
            left: length - HEAD_BYTES as u64,
            sealed: Vec::new(),
            digest: Some(Sha256::new()),
            bytes: 0,
            first_line: 1,
            next_line: 1,
        })
    }

    /// The next frame, into `plain`, whose room is used again. `false` at the end, after all checks held.
    /// # Errors: `Damaged`. What was given before came from the segment as written, but the whole must not be used.
    pub fn next_into(&mut self, plain: &mut Vec<u8>) -> Result<bool, LandingError> {
        plain.clear();
        if self.digest.is_none() {
            return Ok(false);
        }
        match self.frame(plain) {
            Ok(()) => Ok(true),
            Err(what) => {
                self.digest = None;
                plain.clear();
                Err(LandingError::damaged(&self.segment, what))
            }
        }
    }

    /// The number (from 1) of the first line of the frame given last; blank lines count.
    #[must_use]
    pub fn first_line(&self) -> u64 {
        self.first_line
    }

    fn frame(&mut self, plain: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut head = [0; FRAME_HEAD_BYTES];
        self.file.read_exact(&mut head).map_err(|_| "is cut off")?;
        self.left = self.left.saturating_sub(FRAME_HEAD_BYTES as u64);
        let head = FrameHead::parse(&head).ok_or("has a changed frame head")?;
        // Checked before it is an allocation.
        if u64::from(head.sealed_bytes) > self.left {
            return Err("has a changed frame head");
        }
        self.left -= u64::from(head.sealed_bytes);
        self.sealed.resize(head.sealed_bytes as usize, 0);
        self.file.read_exact(&mut self.sealed).map_err(|_| "is cut off")?;
        self.seal
            .open(&mut self.zstd, head, &mut self.sealed, plain)
            .map_err(|_| "does not open with this seal key, or was changed")?;
        self.first_line = self.next_line;
        self.next_line += memchr_iter(b'\n', plain).count() as u64;
        self.bytes += plain.len() as u64;
        let Some(mut digest) = self.digest.take() else {
            return Err("was read past its end");
        };
        digest.update(plain);
        if !head.last {
            self.digest = Some(digest);
            return Ok(());
        }
        if self.left != 0 {
            return Err("goes on after its end");
        }
        if self.bytes != self.segment.bytes || hex(&digest.finish()) != self.segment.sha256 {
            return Err("is not what its row says");
        }
        Ok(())
    }
}

impl Iterator for FrameReader {
    type Item = Result<Vec<u8>, LandingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut plain = Vec::new();
        match self.next_into(&mut plain) {
            Ok(true) => Some(Ok(plain)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
