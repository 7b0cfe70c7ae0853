//! A stream cut into blocks of whole lines, at most a few MiB each: what the workers share out among themselves.
//! A line over the limit is passed over in memory bounded by the limit, and told by its number.

use std::io::{ErrorKind, Read};

/// Blocks are about this long; one longer line makes a longer block, up to the line limit.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Whole lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub bytes: Vec<u8>,
    /// Number of the first line, from 1.
    pub first_line: u64,
    /// The line after those of this block was too long and is left out.
    pub overlong: Option<u64>,
}

/// Cuts a reader into blocks.
pub(super) struct Blocks<R> {
    reader: R,
    rest: Vec<u8>,
    line: u64,
    limit: usize,
    skipping: bool,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R, line_limit: usize) -> Self {
        Self {
            reader,
            rest: Vec::new(),
            line: 1,
            limit: line_limit,
            skipping: false,
            ended: false,
        }
    }

    /// The next block, or `None` at the end.
    /// # Errors: those of the reader (a cut gzip stream, a disk).
    pub(super) fn next(&mut self) -> std::io::Result<Option<Block>> {
        let mut bytes = std::mem::take(&mut self.rest);
        loop {
            if self.skipping {
                match memchr::memchr(b'\n', &bytes) {
                    Some(at) => {
                        bytes.drain(..=at);
                        self.skipping = false;
                    }
                    None => bytes.clear(),
                }
            }
            let full = bytes.len() >= BLOCK_BYTES || (self.ended && !bytes.is_empty());
            if full && !self.skipping {
                let end = if self.ended {
                    Some(bytes.len())
                } else {
                    memchr::memrchr(b'\n', &bytes).map(|at| at + 1)
                };
                if let Some(end) = end {
                    self.rest = bytes.split_off(end);
                    return Ok(Some(self.block(bytes, None)));
                }
                if bytes.len() > self.limit {
                    self.skipping = true;
                    let overlong = self.line;
                    self.line += 1;
                    return Ok(Some(Block {
                        bytes: Vec::new(),
                        first_line: overlong,
                        overlong: Some(overlong),
                    }));
                }
            }
            if self.ended {
                return Ok(None);
            }
            let start = bytes.len();
            bytes.resize(start + BLOCK_BYTES / 4, 0);
            let read = loop {
                match self.reader.read(&mut bytes[start..]) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            bytes.truncate(start + read);
            self.ended = read == 0;
        }
    }

    fn block(&mut self, bytes: Vec<u8>, overlong: Option<u64>) -> Block {
        let first_line = self.line;
        let ends = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        self.line += ends + u64::from(!bytes.ends_with(b"\n"));
        Block {
            bytes,
            first_line,
            overlong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that hands out a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn lines(input: &[u8], drip: usize, limit: usize) -> (Vec<(u64, Vec<u8>)>, Vec<u64>) {
        let mut blocks = Blocks::new(Drip(input, drip), limit);
        let (mut lines, mut overlong) = (Vec::new(), Vec::new());
        while let Some(block) = blocks.next().expect("a slice can be read") {
            for (number, line) in (block.first_line..).zip(block.bytes.split_inclusive(|&byte| byte == b'\n')) {
                lines.push((number, line.strip_suffix(b"\n").unwrap_or(line).to_vec()));
            }
            overlong.extend(block.overlong);
        }
        (lines, overlong)
    }

    #[test]
    fn every_line_comes_once_with_its_number_however_the_bytes_arrive() {
        let input: Vec<u8> = (0..200_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let expected: Vec<_> = (0..200_000u64).map(|n| (n + 1, format!("line {n}").into_bytes())).collect();
        for drip in [1 << 12, 1 << 22] {
            assert_eq!(lines(&input, drip, 1 << 24).0, expected);
        }
    }

    #[test]
    fn a_last_line_without_a_newline_is_a_line() {
        assert_eq!(lines(b"a\nb", 9, 99).0, [(1, b"a".to_vec()), (2, b"b".to_vec())]);
        assert_eq!(lines(b"", 9, 99).0, []);
    }

    #[test]
    fn a_line_over_the_limit_is_left_out_and_named_and_the_next_one_is_read() {
        let long = vec![b'x'; 3 * BLOCK_BYTES];
        let input = [b"first\n".as_slice(), &long, b"\nlast\n"].concat();
        let (found, overlong) = lines(&input, 1 << 16, BLOCK_BYTES);
        assert_eq!(overlong, [2]);
        assert_eq!(found, [(1, b"first".to_vec()), (3, b"last".to_vec())]);
        let (found, overlong) = lines(&input, 1 << 16, 4 * BLOCK_BYTES);
        assert_eq!((found.len(), overlong.len()), (3, 0));
    }
}
