//! Durable and private files: temporary name, fsync, rename, fsync of the directory. A file is there whole or not at all.
//! Secrets are readable by their owner only, and refused otherwise. `Lock` lets one process work in a place at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::secret::Secret;

/// Ends the name of every unfinished file; who owns a directory may remove such leftovers of a crash.
pub const TEMPORARY: &str = ".unfinished";

/// A file could not be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not {doing} `{path}`{advice}")]
    Io {
        doing: &'static str,
        path: String,
        advice: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("secret file `{path}` can be read by others (mode {mode:o}): run `chmod 600 {path}`, and replace the secret if others were in")]
    ReadableByOthers { path: String, mode: u32 },
    #[error("`{0}` is there already and holds a secret: move it away first, it is not overwritten")]
    Exists(String),
}

impl FileError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": the disk is full; make room and run again",
            io::ErrorKind::PermissionDenied => ": this user may not; check owner and mode",
            io::ErrorKind::ReadOnlyFilesystem => ": the file system is mounted read-only",
            _ => "",
        };
        Self::Io {
            doing,
            path: path.display().to_string(),
            advice,
            source,
        }
    }

    /// What went wrong with `path` while `doing`.
    #[must_use]
    pub fn io_of(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::io(doing, path, source)
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A file under way: written under a temporary name in the directory of its path, there only after `finish`.
/// Dropped unfinished, it leaves nothing. Mode 0600.
#[derive(Debug)]
pub struct Durable {
    file: Option<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl Durable {
    /// # Errors: the directory is missing or not writable.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}{TEMPORARY}", super::random::hex(6)));
        let temporary = path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|e| FileError::io("create", path, e))?;
        Ok(Self {
            file: Some(file),
            temporary,
            path: path.to_owned(),
        })
    }

    /// # Errors: the disk is full or broken; drop the writer then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let file = self.file.as_mut().expect("the file is open until finish takes it");
        file.write_all(bytes).map_err(|e| FileError::io("write", &self.path, e))
    }

    /// The file, durable under its path. What stood there before is replaced.
    /// # Errors: as `write`; nothing stays then.
    #[allow(clippy::disallowed_methods, reason = "here the rename is made durable")]
    pub fn finish(mut self) -> Result<(), FileError> {
        self.sync()?;
        // Content before name, name before directory: after a power cut the path holds all of it or nothing.
        fs::rename(&self.temporary, &self.path).map_err(|e| FileError::io("rename to", &self.path, e))?;
        self.temporary.clear();
        sync_dir(&self.path)
    }

    /// The same, but never in the place of something else, not even of what another process puts there just now.
    /// # Errors: `Exists`; as `write`; nothing stays then.
    pub fn finish_new(mut self) -> Result<(), FileError> {
        self.sync()?;
        fs::hard_link(&self.temporary, &self.path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists(self.path.display().to_string()),
            _ => FileError::io("link to", &self.path, e),
        })?;
        sync_dir(&self.path)
    }

    fn sync(&mut self) -> Result<(), FileError> {
        let file = self.file.take().expect("a file is finished once, by value");
        file.sync_all().map_err(|e| FileError::io("sync", &self.path, e))
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes a new or removed name in `path`'s directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), FileError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| FileError::io("sync the directory of", path, e))
}

/// Writes `bytes` to `path` so that a crash leaves the old content or the new, never a part. Mode 0600.
/// # Errors: the disk is full, the directory is missing or not writable.
pub fn write_durable(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = Durable::create(path)?;
    file.write(bytes)?;
    file.finish()
}

/// Writes a secret to a new file with mode 0600, durably.
/// # Errors: `Exists` when something is there: a key is never overwritten.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = Durable::create(path)?;
    file.write(bytes)?;
    file.finish_new()
}

/// Takes a file away, durably; none is none.
/// # Errors: this user may not.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::io("remove", path, error)),
        _ => sync_dir(path),
    }
}

/// Whether `path` lies on a file system in memory, which is empty after the next start of the machine. Not known: no.
#[must_use]
pub fn is_in_memory(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    path.canonicalize().is_ok_and(|path| in_memory(&mounts, &path))
}

/// The same by the text of `mountinfo` (proc_pid_mountinfo(5)): the fifth field is the place, the type stands behind ` - `.
fn in_memory(mounts: &str, path: &Path) -> bool {
    let mount = |line: &str| {
        let (fields, rest) = line.split_once(" - ")?;
        let place = fields.split(' ').nth(4)?.replace("\\040", " ");
        let kind = rest.split(' ').next()?.to_owned();
        path.starts_with(&place).then_some((place.len(), kind))
    };
    // Of two in one place the later hides the earlier.
    let nearest = mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length);
    nearest.is_some_and(|(_, kind)| matches!(kind.as_str(), "tmpfs" | "ramfs"))
}

/// The content of a secret file.
/// # Errors: `ReadableByOthers` when group or world have any right to it, also through a link.
pub fn read_secret(path: &Path) -> Result<Secret, FileError> {
    let mut file = File::open(path).map_err(|e| FileError::io("read", path, e))?;
    let metadata = file.metadata().map_err(|e| FileError::io("read", path, e))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::ReadableByOthers {
            path: path.display().to_string(),
            mode,
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(|e| FileError::io("read", path, e))?;
    Ok(Secret::new(bytes))
}

/// The content of a credential that the service manager gave. systemd may let the service's user in by an access list, which
/// shows as a right to read for the group; anybody else's right, or one to write, is refused as in `read_secret`.
/// # Errors: `ReadableByOthers`; it is missing or unreadable.
pub fn read_credential(path: &Path) -> Result<Secret, FileError> {
    let mode = fs::metadata(path).map_err(|e| FileError::io("read", path, e))?.mode() & 0o777;
    if mode & 0o037 != 0 {
        return Err(FileError::ReadableByOthers {
            path: path.display().to_string(),
            mode,
        });
    }
    fs::read(path).map(Secret::new).map_err(|e| FileError::io("read", path, e))
}

/// The content of a file.
/// # Errors: it is missing, unreadable, or longer than `max_bytes`.
pub fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|e| FileError::io("read", path, e))?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| FileError::io("read", path, e))?;
    if bytes.len() as u64 > max_bytes {
        let source = io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {max_bytes} bytes"));
        return Err(FileError::io("read", path, source));
    }
    Ok(bytes)
}

/// Creates `path` and what is missing above it, for its owner only (0700). An existing directory loses the rights of others.
/// # Errors: it cannot be created or its mode cannot be set.
pub fn create_dir_private(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| FileError::io("create the directory", path, e))?;
    let mode = fs::metadata(path).map_err(|e| FileError::io("read", path, e))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|e| FileError::io("close to others", path, e))?;
    }
    Ok(())
}

/// Why a lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("`{path}` is held by another process{}: wait until it ends, or end it; two must not work in one place", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held { path: String, pid: Option<u32> },
    #[error(transparent)]
    File(#[from] FileError),
}

/// A place only one process works in. The kernel releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors: `Held` when another process (or another part of this one) has it.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|e| FileError::io("open the lock", path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.take(32).read_to_string(&mut text);
                return Err(LockError::Held {
                    path: path.display().to_string(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(FileError::io("lock", path, e).into()),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| FileError::io("write", path, e))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_dropped_before_finish_leaves_nothing_and_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write_durable(&path, b"old").unwrap();
        let mut file = Durable::create(&path).unwrap();
        file.write(b"new, half").unwrap();
        assert_eq!(names(dir.path()).len(), 2);
        drop(file);
        assert_eq!(names(dir.path()), ["state"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_durable(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_secret_is_closed_to_others_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_secret(&path, b"hush").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read_secret(&path).unwrap().expose(), b"hush");
        assert!(matches!(write_secret(&path, b"other"), Err(FileError::Exists(_))));
        assert_eq!(names(dir.path()), ["key"]);
        assert_eq!(read_secret(&path).unwrap().expose(), b"hush");
    }

    #[test]
    fn a_secret_others_can_read_is_refused_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for open_to in [0o640, 0o604, 0o620, 0o601] {
            let _ = fs::remove_file(&path);
            write_secret(&path, b"hush").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(open_to)).unwrap();
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, FileError::ReadableByOthers { mode, .. } if mode == open_to));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_private_directory_is_made_whole_and_an_open_one_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_dir_private(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        create_dir_private(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn what_lies_in_memory_is_known_by_the_nearest_mount() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:26 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n\
                      31 30 8:2 / /run/disk rw - ext4 /dev/sdb rw\n32 22 0:30 / /a\\040b rw - ramfs none rw\n";
        for (path, expected) in [
            ("/var/lib/x", false),
            ("/run/x", true),
            ("/run/disk/x", false),
            ("/running", false),
            ("/a b/x", true),
        ] {
            assert_eq!(in_memory(mounts, Path::new(path)), expected, "{path}");
        }
        assert!(!in_memory("", Path::new("/x")));
    }

    #[test]
    fn reading_stops_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_durable(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("could not read"));
        assert!(read(&dir.path().join("missing"), 4).unwrap_err().is_not_found());
    }

    #[test]
    fn a_lock_has_one_owner_and_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::acquire(&path).unwrap();
        let error = Lock::acquire(&path).unwrap_err();
        assert!(
            matches!(error, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()),
            "{error}"
        );
        drop(first);
        Lock::acquire(&path).unwrap();
    }
}
