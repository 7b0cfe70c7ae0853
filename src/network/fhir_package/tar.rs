//! The entries of a tar stream, one after the other: names, sizes, contents. POSIX ustar, pax long names and GNU's; nothing is
//! written anywhere, so that modes, owners and times are not read. Knows no package.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Bytes of a name, and of a pax header around it.
const NAME_BYTES: u64 = 64 << 10;

/// What stands next in the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(String),
    Folder(String),
    /// A link, a device.
    Other(String),
}

#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Tar(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

pub(super) struct Tar<R> {
    inner: R,
    /// Bytes of the entry that were not read yet, and the padding behind them.
    left: u64,
    padding: u64,
}

impl<R: Read> Tar<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            left: 0,
            padding: 0,
        }
    }

    /// Bytes of the entry that was given last.
    pub(super) fn size(&self) -> u64 {
        self.left
    }

    /// The content of the entry that was given last.
    pub(super) fn content(&mut self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        let count = (&mut self.inner).take(self.left).read_to_end(&mut bytes)? as u64;
        if count < self.left {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.left = 0;
        Ok(bytes)
    }

    /// The next entry; `None` at the end.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, Fault> {
        // A name that is too long for the header stands in an entry before it.
        let (mut long_name, mut long_size) = (None, None);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return if long_name.is_some() {
                    Err(Fault::Tar("it ends behind a name"))
                } else {
                    Ok(None)
                };
            };
            let size = number(&header[124..136]).ok_or(Fault::Tar("a size is no number"))?;
            let kind = header[156];
            self.left = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            match kind {
                b'x' | b'g' | b'L' | b'K' if size > NAME_BYTES => return Err(Fault::Tar("a name is too long")),
                b'x' => {
                    for (key, value) in pax(&self.content()?)? {
                        match key.as_str() {
                            "path" => long_name = Some(value),
                            "size" => long_size = Some(value.parse().map_err(|_| Fault::Tar("a size is no number"))?),
                            _ => {}
                        }
                    }
                }
                b'L' => {
                    let bytes = self.content()?;
                    long_name = Some(text(&bytes)?);
                }
                b'g' | b'K' => {}
                _ => {
                    if let Some(size) = long_size {
                        self.left = size;
                        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
                    }
                    let name = match long_name.take() {
                        Some(name) => name,
                        None => name(&header)?,
                    };
                    return Ok(Some(match kind {
                        b'0' | b'\0' | b'7' if name.ends_with('/') => Entry::Folder(name),
                        b'0' | b'\0' | b'7' => Entry::File(name),
                        b'5' => Entry::Folder(name),
                        _ => Entry::Other(name),
                    }));
                }
            }
        }
    }

    /// Past what was not read of the entry before.
    fn skip(&mut self) -> Result<(), Fault> {
        let most = self.left.saturating_add(self.padding);
        let count = io::copy(&mut (&mut self.inner).take(most), &mut io::sink())?;
        if count < most {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// `None` at the end: a block of zeros, or nothing.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        let mut header = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut header[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                count => filled += count,
            }
        }
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum of all bytes, its own place taken as spaces.
        let sum = header
            .iter()
            .enumerate()
            .map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum::<u64>();
        if number(&header[148..156]) == Some(sum) {
            Ok(Some(header))
        } else {
            Err(Fault::Tar("a header's checksum is wrong"))
        }
    }
}

/// Octal digits between spaces or zeros; or, with the top bit, bytes.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let is_small = high[0] == 0x80 && high[1..].iter().all(|byte| *byte == 0);
        return is_small.then(|| low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if digits.is_empty() {
        Some(0)
    } else {
        u64::from_str_radix(digits, 8).ok()
    }
}

fn name(header: &[u8; BLOCK]) -> Result<String, Fault> {
    let own = text(&header[..100])?;
    let is_ustar = &header[257..263] == b"ustar\0";
    let prefix = if is_ustar { text(&header[345..500])? } else { String::new() };
    Ok(if prefix.is_empty() { own } else { format!("{prefix}/{own}") })
}

/// Up to the first zero.
fn text(field: &[u8]) -> Result<String, Fault> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let text = std::str::from_utf8(&field[..end]).map_err(|_| Fault::Tar("a name is not UTF-8"))?;
    Ok(text.to_owned())
}

/// `LENGTH key=value\n`, over and over.
fn pax(mut bytes: &[u8]) -> Result<Vec<(String, String)>, Fault> {
    const FAULT: Fault = Fault::Tar("a pax header is none");
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or(FAULT)?;
        let length: usize = std::str::from_utf8(&bytes[..space])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(FAULT)?;
        let record = bytes
            .get(space + 1..length)
            .and_then(|record| record.strip_suffix(b"\n"))
            .ok_or(FAULT)?;
        let record = std::str::from_utf8(record).map_err(|_| FAULT)?;
        let (key, value) = record.split_once('=').ok_or(FAULT)?;
        all.push((key.to_owned(), value.to_owned()));
        bytes = &bytes[length..];
    }
    Ok(all)
}
