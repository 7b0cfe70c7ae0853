//! Where a network package is read from: a folder laid out like this repository, or the one inside the binary. Knows names and
//! texts of files, not what stands in them.

use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::map::MAX_FILE_BYTES;
use crate::platform::secret::{Sha256, hex};
use crate::pull::Vendor;

static PROFILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/profiles");
static MAPPINGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/mappings");

/// Where a package keeps its vendor profiles.
const VENDORS: &str = "profiles/vendors";

/// Where a network package is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Package {
    /// The one inside the binary.
    BuiltIn,
    /// A folder with `profiles/` and `mappings/`.
    Folder(PathBuf),
}

/// One file of a package: its name within its folder, its text.
pub type File = (String, String);

impl Package {
    /// The package in `folder`, or the one inside the binary.
    pub fn at(folder: Option<PathBuf>) -> Self {
        folder.map_or(Package::BuiltIn, Package::Folder)
    }

    /// The models this package has mappings for.
    pub fn models(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Package::BuiltIn => MAPPINGS
                .dirs()
                .filter_map(|dir| Some(dir.path().file_name()?.to_str()?.to_owned()))
                .collect(),
            Package::Folder(folder) => fs::read_dir(folder.join("mappings"))
                .into_iter()
                .flatten()
                .filter_map(|entry| {
                    let entry = entry.ok()?;
                    entry.file_type().ok()?.is_dir().then(|| entry.file_name().into_string().ok())?
                })
                .collect(),
        };
        names.sort();
        names
    }

    /// The files directly in `path`, whose names end with `ending`, by name.
    pub(super) fn files(&self, path: &str, ending: &str) -> Result<Vec<File>, String> {
        let mut files = Vec::new();
        match self {
            Package::BuiltIn => {
                let (root, rest) = path.split_once('/').unwrap_or((path, ""));
                let root = if root == "profiles" { &PROFILES } else { &MAPPINGS };
                let dir = root.get_dir(rest).ok_or_else(|| {
                    format!(
                        "{path}: is not in the built-in package, which has the models: {}",
                        self.models().join(", ")
                    )
                })?;
                for file in dir.files() {
                    if let (Some(name), Some(text)) = (file.path().file_name().and_then(|n| n.to_str()), file.contents_utf8())
                        && name.ends_with(ending)
                    {
                        files.push((name.to_owned(), text.to_owned()));
                    }
                }
            }
            Package::Folder(folder) => {
                let dir = folder.join(path);
                for entry in fs::read_dir(&dir).map_err(|error| format!("{}: cannot be read ({})", dir.display(), error.kind()))? {
                    let entry = entry.map_err(|error| format!("{}: cannot be read ({})", dir.display(), error.kind()))?;
                    let Ok(name) = entry.file_name().into_string() else { continue };
                    if name.ends_with(ending) && entry.path().is_file() {
                        files.push((name.clone(), read(&entry.path())?));
                    }
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// The model's JSON Schemas, as the registry needs them.
    /// # Errors: a folder that cannot be read.
    pub fn schemas(&self, model: &str) -> Result<Vec<File>, String> {
        self.files(&format!("profiles/{model}"), ".schema.json")
    }

    /// The names of the vendor profiles: the package's own and the built-in ones.
    pub fn vendors(&self) -> Vec<String> {
        let mut names: Vec<String> = [self, &Package::BuiltIn]
            .into_iter()
            .filter_map(|package| package.files(VENDORS, ".toml").ok())
            .flatten()
            .filter_map(|(name, _)| Some(name.strip_suffix(".toml")?.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The vendor profile `name`: the package's own before the built-in one.
    /// # Errors: there is none of this name; every fault of its file.
    pub fn vendor(&self, name: &str) -> Result<Vendor, String> {
        let file = format!("{name}.toml");
        let found = [self, &Package::BuiltIn]
            .into_iter()
            .filter_map(|package| package.files(VENDORS, ".toml").ok())
            .flatten()
            .find(|(found, _)| *found == file);
        let Some((_, text)) = found else {
            return Err(format!(
                "there is no vendor profile `{name}`; there are: {}",
                self.vendors().join(", ")
            ));
        };
        Vendor::parse(name, &text).map_err(|fault| fault.to_string())
    }

    /// The files of the small vocabulary that travels with a model, for its cases and the demo; none if it needs none.
    pub fn vocabulary_files(&self, model: &str) -> Vec<File> {
        self.files(&format!("mappings/{model}/vocabulary"), ".csv").unwrap_or_default()
    }

    /// A folder of the package as a person would open it.
    pub(super) fn shown(&self, path: &str) -> String {
        match self {
            Package::BuiltIn => path.to_owned(),
            Package::Folder(folder) => folder.join(path).display().to_string(),
        }
    }
}

/// SHA-256 over names and texts, in order: the same files give the same digest wherever they were read from.
pub(super) fn digest(groups: &[&Vec<File>]) -> String {
    let mut sha = Sha256::new();
    for (name, text) in groups.iter().copied().flatten() {
        for part in [name, text] {
            sha.update(&(part.len() as u64).to_le_bytes());
            sha.update(part.as_bytes());
        }
    }
    hex(&sha.finish())
}

/// Bytes of a file that is read into a tree of values, which is many times as large: policies, cases, derivations. Ours have at
/// most 60 thousand.
const MAX_TREE_BYTES: usize = 512 << 10;

/// Bytes that a file of this name may have.
fn largest(path: &Path) -> u64 {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let becomes_a_tree = name.ends_with(".toml") || name.ends_with(".cases.json");
    (if becomes_a_tree { MAX_TREE_BYTES } else { MAX_FILE_BYTES }) as u64
}

fn read(path: &Path) -> Result<String, String> {
    let most = largest(path);
    if fs::metadata(path).is_ok_and(|found| found.len() > most) {
        return Err(format!("{}: is larger than {} KiB", path.display(), most >> 10));
    }
    fs::read_to_string(path).map_err(|error| format!("{}: cannot be read as UTF-8 text ({})", path.display(), error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_vendor_profile_is_without_fault_and_a_stranger_is_told_their_names() {
        let names = Package::BuiltIn.vendors();
        assert!(names.len() >= 5, "{names:?}");
        for name in &names {
            assert_eq!(Package::BuiltIn.vendor(name).map(|vendor| vendor.name).as_ref(), Ok(name));
        }
        let fault = Package::BuiltIn.vendor("nix").unwrap_err();
        assert!(fault.contains("`nix`") && fault.contains("epic"), "{fault}");
    }
}
