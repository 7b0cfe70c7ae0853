//! A package's archive: a tar in a gzip, of which the JSON files directly in `package/` are read, into memory. No name of the archive
//! ever becomes a path of this machine; one that tries to leave its folder, a link or a device refuses the whole.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;

use super::tar::{Entry, Fault, Tar};
use super::{ALL_BYTES, FILE_BYTES, FILES, RATIO, too_large};
use crate::network::package;

/// Name within `package/` and text of each JSON file of the archive in `file`, which has `size` bytes; in the order of the names.
/// # Errors: what is wrong with it.
pub(super) fn read(file: File, size: u64) -> Result<Vec<package::File>, String> {
    of(BufReader::new(file), size)
}

pub(super) fn of(archive: impl Read, size: u64) -> Result<Vec<package::File>, String> {
    let most = ALL_BYTES.min(size.saturating_mul(RATIO).saturating_add(1 << 20));
    let mut tar = Tar::new(Bounded {
        inner: MultiGzDecoder::new(archive),
        left: most,
    });
    let (mut files, mut names, mut entries) = (Vec::new(), HashSet::new(), 0);
    while let Some(entry) = tar.next_entry().map_err(|fault| said(&fault, most))? {
        entries += 1;
        if entries > FILES {
            return Err(too_large("its entries"));
        }
        let name = match entry {
            Entry::File(name) => name,
            Entry::Folder(name) => {
                place(&name)?;
                continue;
            }
            Entry::Other(name) => {
                return Err(format!(
                    "holds `{}`, which is neither file nor folder: a package has no links and no devices",
                    shown(&name)
                ));
            }
        };
        let Some(own) = place(&name)? else { continue };
        if tar.size() > FILE_BYTES as u64 {
            return Err(too_large(&own));
        }
        if !names.insert(own.clone()) {
            return Err(format!("holds `{own}` twice: nobody can say which one counts"));
        }
        let bytes = tar.content().map_err(|fault| said(&fault, most))?;
        match String::from_utf8(bytes) {
            Ok(text) => files.push((own, text)),
            Err(_) => return Err(format!("`{own}` is not UTF-8 text")),
        }
    }
    files.sort();
    Ok(files)
}

/// The file's name, if it is a JSON file directly in `package/`; `package-of-mine/` and `example/` are other folders.
/// # Errors: a name that is no place within the archive.
fn place(name: &str) -> Result<Option<String>, String> {
    let plain = name.strip_prefix("./").unwrap_or(name);
    let is_odd = |part: &str| part == ".." || part == "." || part.is_empty();
    let whole = plain.strip_suffix('/').unwrap_or(plain);
    let leaves = whole.split('/').any(is_odd) && !whole.is_empty();
    if leaves || name.contains(['\\', '\0']) || name.contains(|c: char| c.is_control()) || has_drive(plain) {
        return Err(format!("holds `{}`, which is no name of a file within it", shown(name)));
    }
    let mut parts = plain.split('/');
    let is_ours = parts.next() == Some("package");
    let file = parts.next().filter(|file| file.ends_with(".json") && !file.starts_with('.'));
    Ok(file.filter(|_| is_ours && parts.next().is_none()).map(str::to_owned))
}

/// `C:file`, on machines that have such.
fn has_drive(name: &str) -> bool {
    name.as_bytes().get(1) == Some(&b':')
}

/// A name as a message may show it.
fn shown(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_control() { '?' } else { c });
    plain.take(80).collect()
}

fn said(fault: &Fault, most: u64) -> String {
    match fault {
        Fault::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            format!(
                "becomes larger than {} MiB when unpacked: more than a package of its size may",
                most >> 20
            )
        }
        Fault::Io(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof => "ends in the middle: it was not copied whole".to_owned(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => "is no gzip archive, or a damaged one".to_owned(),
            kind => format!("cannot be read ({kind})"),
        },
        Fault::Tar(what) => format!("is no tar archive: {what}"),
    }
}

/// A reader that gives so many bytes and no more.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.left = match self.left.checked_sub(count as u64) {
            Some(left) => left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        };
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_directly_in_package_is_a_definition_and_a_name_that_leaves_is_refused() {
        for name in ["package/a.json", "./package/a.json"] {
            assert_eq!(place(name), Ok(Some("a.json".to_owned())), "{name}");
        }
        for name in [
            "package",
            "package/",
            "package/a.xml",
            "package/.index.json",
            "package/example/a.json",
            "package-evil/a.json",
            "packages/a.json",
            "example/a.json",
            "a.json",
            "./",
        ] {
            assert_eq!(place(name), Ok(None), "{name}");
        }
        for name in [
            "../a.json",
            "package/../a.json",
            "package/../../package/a.json",
            "/package/a.json",
            "package//a.json",
            "package/./a.json",
            "package\\..\\a.json",
            "C:/package/a.json",
            "package/a\0.json",
            "package/..",
        ] {
            assert!(place(name).is_err(), "{name}");
        }
    }
}
