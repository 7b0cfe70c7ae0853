//! Every FHIR resource in the reference data: JSON files, NDJSON, both gzipped too, and packages (`.tgz`); of JSON that is no
//! resource, the resources that stand in it. Text goes out as it stands: what to think of it is `opinion`'s to say.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use headwater::fhir::name::Name;
use headwater::fhir::tree::{Kind, Limits, Node, Tree};

/// What every resource says of itself.
const RESOURCE_TYPE: &[u8] = b"\"resourceType\"";

/// One file, or one file of a package.
pub struct Document {
    /// Its path below the data, with `/`.
    pub name: String,
    text: Vec<u8>,
    lines: bool,
}

impl Document {
    /// Its resources, in order. A text that says it is one and that we cannot read is one, too: the other reader may.
    pub fn resources(&self) -> impl Iterator<Item = &[u8]> {
        let mut found = Vec::new();
        let mut tree = Tree::new();
        let mut start = 0;
        let parts = self.text.split_inclusive(|byte| self.lines && *byte == b'\n');
        for part in parts {
            search(&mut tree, part, start, &mut found);
            start += part.len();
        }
        found.into_iter().map(|at| &self.text[at])
    }
}

fn search(tree: &mut Tree, text: &[u8], start: usize, found: &mut Vec<Range<usize>>) {
    let limits = Limits {
        line_bytes: usize::MAX,
        ..Limits::default()
    };
    let whole = start..start + text.len();
    match tree.parse(text, &limits) {
        Ok(root) if is_resource(root) => found.push(whole),
        Ok(root) => within(root, start, found),
        Err(_) if text.windows(RESOURCE_TYPE.len()).any(|part| part == RESOURCE_TYPE) => found.push(whole),
        Err(_) => {}
    }
}

fn within(node: Node<'_, '_>, start: usize, found: &mut Vec<Range<usize>>) {
    for child in node.children() {
        if is_resource(child) {
            let at = start + child.offset();
            found.push(at..at + child.size());
        } else {
            within(child, start, found);
        }
    }
}

fn is_resource(node: Node<'_, '_>) -> bool {
    node.kind() == Kind::Object && node.get(Name::RESOURCE_TYPE).is_some_and(|named| named.kind() == Kind::String)
}

/// The paths of all files below `data`, in order.
pub fn files(data: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![data.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The documents in one file; none where its ending says that it holds no JSON.
pub fn documents(data: &Path, file: &Path) -> io::Result<Vec<Document>> {
    let below = file.strip_prefix(data).unwrap_or(file);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let name = parts.join("/");
    if name.ends_with(".tgz") {
        return Ok(entries(&name, &unzipped(file)?));
    }
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let lines = plain.ends_with(".ndjson");
    if !lines && !plain.ends_with(".json") {
        return Ok(Vec::new());
    }
    let text = if plain == name { std::fs::read(file)? } else { unzipped(file)? };
    Ok(vec![Document { name, text, lines }])
}

fn unzipped(file: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    MultiGzDecoder::new(std::fs::File::open(file)?).read_to_end(&mut text)?;
    Ok(text)
}

/// The resources of a package: its JSON files but for its index, whose rows only name the type of each file, and descriptions of
/// an API. POSIX ustar: a header of 512 bytes with the name, the size in octal at 124 and the kind at 156.
fn entries(archive: &str, bytes: &[u8]) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut rest = bytes;
    while let Some((header, body)) = rest.split_at_checked(512) {
        let field = |range: Range<usize>| String::from_utf8_lossy(&header[range]).trim_end_matches(['\0', ' ']).to_owned();
        let size = usize::from_str_radix(field(124..136).trim(), 8).unwrap_or(0).min(body.len());
        let (text, after) = body.split_at(size);
        rest = after.get(size.next_multiple_of(512) - size..).unwrap_or_default();
        let name = field(0..100);
        let is_resource = name.ends_with(".json") && !name.ends_with(".index.json") && !name.contains("/openapi/");
        if matches!(header[156], b'0' | 0) && is_resource {
            documents.push(Document {
                name: format!("{archive}/{name}"),
                text: text.to_owned(),
                lines: false,
            });
        }
    }
    documents
}
