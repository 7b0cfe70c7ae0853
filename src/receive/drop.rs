//! The file drop: where a site puts a submission's chunks and manifest before it submits. A name is made of checked parts only;
//! a file is there whole, under the digest of its bytes, or not at all. Putting it again is harmless.
//! Knows no site's rights; `access` and `routes` say who may touch which submission.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::fault::Fault;
use crate::platform::file::{self, Durable, FileError, TEMPORARY};
use crate::platform::secret::{Sha256, hex};
use crate::submission::{CHUNK_MAX_BYTES, MANIFEST_MAX_BYTES, SubmissionId, is_sha256_hex};

/// A site may prepare this many submissions at a time; a further one takes the place of the oldest.
const OPEN_PER_SITE: usize = 8;

/// The drop's folder: `<submission>/manifest`, `<submission>/chunks/<sha256>`.
pub(super) struct FileDrop {
    root: PathBuf,
}

/// A chunk under way.
pub(super) struct ChunkWriter {
    file: Durable,
    hash: Sha256,
    sha256: String,
    bytes: u64,
}

impl FileDrop {
    /// Opens or makes the drop; what a crash left half written is removed.
    /// # Errors: the folder cannot be made or listed.
    pub(super) fn open(root: &Path) -> Result<Self, Fault> {
        file::create_dir_private(root)?;
        for submission in fs::read_dir(root)? {
            let folder = submission?.path();
            for place in [folder.clone(), folder.join("chunks")] {
                let Ok(entries) = fs::read_dir(&place) else { continue };
                for entry in entries {
                    let path = entry?.path();
                    if path.to_string_lossy().ends_with(TEMPORARY) {
                        fs::remove_file(path)?;
                    }
                }
            }
        }
        Ok(Self { root: root.to_owned() })
    }

    fn folder(&self, id: &SubmissionId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Where a chunk is or would be.
    /// # Errors: `NotFound` when the name is no digest.
    pub(super) fn chunk_path(&self, id: &SubmissionId, sha256: &str) -> Result<PathBuf, Fault> {
        if !is_sha256_hex(sha256) {
            return Err(Fault::NotFound("a chunk's name is the SHA-256 of its bytes in lower-case hex"));
        }
        Ok(self.folder(id).join("chunks").join(sha256))
    }

    /// The size of a chunk that is there.
    /// # Errors: `NotFound` when the name is no digest.
    pub(super) fn chunk_bytes(&self, id: &SubmissionId, sha256: &str) -> Result<Option<u64>, Fault> {
        match fs::metadata(self.chunk_path(id, sha256)?) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a chunk; it is there once `ChunkWriter::finish` has returned. `keep` says which submissions must not give way.
    /// # Errors: `NotFound` when the name is no digest; the disk's.
    pub(super) fn begin_chunk(&self, id: &SubmissionId, sha256: &str, keep: &dyn Fn(&str) -> bool) -> Result<ChunkWriter, Fault> {
        let path = self.chunk_path(id, sha256)?;
        self.make_folder(id, keep)?;
        Ok(ChunkWriter {
            file: Durable::create(&path)?,
            hash: Sha256::new(),
            sha256: sha256.to_owned(),
            bytes: 0,
        })
    }

    /// Puts the manifest. Its bytes were checked to be this submission's.
    /// # Errors: `Conflict` when another one is there; the disk's.
    pub(super) fn put_manifest(&self, id: &SubmissionId, bytes: &[u8], keep: &dyn Fn(&str) -> bool) -> Result<(), Fault> {
        if let Some(there) = self.manifest(id)? {
            return if there == bytes {
                Ok(())
            } else {
                Err(Fault::Conflict("the submission has another manifest already".into()))
            };
        }
        self.make_folder(id, keep)?;
        file::write_durable(&self.folder(id).join("manifest"), bytes)?;
        Ok(())
    }

    /// The manifest, when it is there.
    /// # Errors: the disk's.
    pub(super) fn manifest(&self, id: &SubmissionId) -> Result<Option<Vec<u8>>, Fault> {
        match file::read(&self.folder(id).join("manifest"), MANIFEST_MAX_BYTES as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a chunk whose bytes are not what its name says, so that it can be put again.
    /// # Errors: the disk's.
    pub(super) fn remove_chunk(&self, id: &SubmissionId, sha256: &str) -> Result<(), Fault> {
        match fs::remove_file(self.chunk_path(id, sha256)?) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes an applied submission and whatever its site prepared for the same place or an earlier one.
    /// # Errors: the disk's.
    pub(super) fn clear(&self, applied: &SubmissionId) -> Result<(), Fault> {
        for (id, path) in self.of_site(applied.site())? {
            if id.sequence() <= applied.sequence() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    fn make_folder(&self, id: &SubmissionId, keep: &dyn Fn(&str) -> bool) -> Result<(), Fault> {
        let folder = self.folder(id);
        if !folder.exists() {
            self.make_room(id.site(), keep)?;
            create(&folder)?;
        }
        create(&folder.join("chunks"))
    }

    /// Lets the oldest prepared submission of the site give way when there are too many.
    fn make_room(&self, site: &str, keep: &dyn Fn(&str) -> bool) -> Result<(), Fault> {
        let mut prepared = Vec::new();
        for (id, path) in self.of_site(site)? {
            if !keep(&id.to_string()) {
                prepared.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        prepared.sort();
        let surplus = (prepared.len() + 1).saturating_sub(OPEN_PER_SITE);
        for (_, path) in prepared.into_iter().take(surplus) {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }

    fn of_site(&self, site: &str) -> Result<Vec<(SubmissionId, PathBuf)>, Fault> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(SubmissionId::parse);
            if let Some(id) = id.filter(|id| id.site() == site) {
                found.push((id, entry.path()));
            }
        }
        Ok(found)
    }
}

/// Makes a private folder; one that another request made meanwhile is as good.
fn create(folder: &Path) -> Result<(), Fault> {
    let made: Result<(), FileError> = file::create_dir_private(folder);
    if folder.is_dir() { Ok(()) } else { Ok(made?) }
}

impl ChunkWriter {
    /// # Errors: `TooLarge` beyond a chunk's most bytes; the disk's.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes += bytes.len() as u64;
        if self.bytes > CHUNK_MAX_BYTES {
            return Err(Fault::TooLarge("a chunk is at most 8 MiB, compressed"));
        }
        self.hash.update(bytes);
        Ok(self.file.write(bytes)?)
    }

    /// The chunk, durable under its name.
    /// # Errors: `WrongDigest` when its bytes are not those its name says; nothing stays then.
    pub(super) fn finish(self) -> Result<(), Fault> {
        if hex(&self.hash.finish()) != self.sha256 {
            return Err(Fault::WrongDigest(
                "the chunk's bytes do not have the SHA-256 that its name says; send it again",
            ));
        }
        Ok(self.file.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::sha256_hex;

    fn id(sequence: u64, content: &str) -> SubmissionId {
        SubmissionId::new("lake", sequence, &content.repeat(64)).unwrap()
    }

    fn put(files: &FileDrop, id: &SubmissionId, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let mut writer = files.begin_chunk(id, name, &|_| false)?;
        for piece in bytes.chunks(3) {
            writer.write(piece)?;
        }
        writer.finish()
    }

    #[test]
    fn a_chunk_is_there_whole_under_its_digest_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let files = FileDrop::open(dir.path()).unwrap();
        let (id, name) = (id(1, "a"), sha256_hex(b"chunk bytes"));
        for at in 0..b"chunk bytes".len() {
            let mut changed = b"chunk bytes".to_vec();
            changed[at] ^= 1;
            assert!(matches!(put(&files, &id, &name, &changed), Err(Fault::WrongDigest(_))));
            assert_eq!(files.chunk_bytes(&id, &name).unwrap(), None);
        }
        put(&files, &id, &name, b"chunk bytes").unwrap();
        put(&files, &id, &name, b"chunk bytes").unwrap();
        assert_eq!(files.chunk_bytes(&id, &name).unwrap(), Some(11));
        assert_eq!(fs::read_dir(dir.path().join(id.to_string()).join("chunks")).unwrap().count(), 1);
    }

    #[test]
    fn a_chunk_above_the_limit_is_refused_and_one_at_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = FileDrop::open(dir.path()).unwrap();
        let bytes = vec![7; usize::try_from(CHUNK_MAX_BYTES).unwrap() + 1];
        let most = &bytes[1..];
        let begin = |name: &str| files.begin_chunk(&id(1, "a"), name, &|_| false).unwrap();
        let mut writer = begin(&sha256_hex(most));
        writer.write(most).unwrap();
        writer.finish().unwrap();
        assert!(matches!(begin(&sha256_hex(&bytes)).write(&bytes), Err(Fault::TooLarge(_))));
    }

    #[test]
    fn a_name_that_is_no_digest_touches_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = FileDrop::open(dir.path()).unwrap();
        for name in ["", "..", "../manifest", "%2e%2e", &"A".repeat(64), &"a".repeat(63), "a/b\0"] {
            assert!(matches!(put(&files, &id(1, "a"), name, b"x"), Err(Fault::NotFound(_))), "{name:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_half_written_file_is_gone_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let files = FileDrop::open(dir.path()).unwrap();
        let mut writer = files.begin_chunk(&id(1, "a"), &"0".repeat(64), &|_| false).unwrap();
        writer.write(b"half").unwrap();
        std::mem::forget(writer);
        let chunks = dir.path().join(id(1, "a").to_string()).join("chunks");
        assert_eq!(fs::read_dir(&chunks).unwrap().count(), 1);
        FileDrop::open(dir.path()).unwrap();
        assert_eq!(fs::read_dir(&chunks).unwrap().count(), 0);
    }

    #[test]
    fn the_oldest_prepared_submission_gives_way_but_never_one_to_keep() {
        let dir = tempfile::tempdir().unwrap();
        let files = FileDrop::open(dir.path()).unwrap();
        let kept = id(1, "a").to_string();
        for content in ["a", "b", "c", "d", "e", "f", "0", "1", "2", "3"] {
            files.put_manifest(&id(1, content), content.as_bytes(), &|id| id == kept).unwrap();
        }
        assert_eq!(files.manifest(&id(1, "a")).unwrap(), Some(b"a".to_vec()));
        assert_eq!(files.manifest(&id(1, "3")).unwrap(), Some(b"3".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), OPEN_PER_SITE + 1);
        files.clear(&id(1, "a")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_manifest_for_the_same_submission_is_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let files = FileDrop::open(dir.path()).unwrap();
        files.put_manifest(&id(1, "a"), b"one", &|_| false).unwrap();
        files.put_manifest(&id(1, "a"), b"one", &|_| false).unwrap();
        assert!(matches!(
            files.put_manifest(&id(1, "a"), b"two", &|_| false),
            Err(Fault::Conflict(_))
        ));
    }
}
