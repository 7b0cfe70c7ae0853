//! Landing as a whole: what goes in comes out, and nothing else ever does.

use super::*;

struct Store {
    dir: tempfile::TempDir,
    key: Secret,
}

impl Store {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            key: Secret::random(32),
        }
    }

    fn open(&self) -> Landing {
        self.open_with(&self.key)
    }

    fn open_with(&self, key: &Secret) -> Landing {
        let database = database::open(&self.dir.path().join("site.db"), &[SCHEMA]).unwrap();
        Landing::open(&self.landing_dir(), key.clone(), Arc::new(Mutex::new(database))).unwrap()
    }

    fn landing_dir(&self) -> PathBuf {
        self.dir.path().join("landing")
    }

    /// Names in the landing directory but the lock.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.landing_dir()).unwrap().map(|e| e.unwrap().path());
        entries.filter(|path| !path.ends_with("lock")).collect()
    }
}

fn land(landing: &Landing, content: &[u8], chunk: usize) -> Segment {
    let mut writer = landing.begin(1, "Patient", Kind::Resources).unwrap();
    for part in content.chunks(chunk) {
        writer.write(part).unwrap();
    }
    writer.seal().unwrap()
}

fn read_all(landing: &Landing, segment: &Segment) -> Result<Vec<u8>, LandingError> {
    let frames: Result<Vec<_>, _> = landing.read(segment)?.collect();
    Ok(frames?.concat())
}

/// Lines of very different lengths, some beyond 1 MiB.
fn long_content() -> Vec<u8> {
    let mut content = Vec::new();
    for (at, length) in [10, 3_000_000, 5, 0, 1_200_000, 40, 700_000, 700_000, 1].into_iter().enumerate() {
        content.extend(std::iter::repeat_n(b'a' + u8::try_from(at).unwrap(), length));
        content.push(b'\n');
    }
    content
}

#[test]
fn what_was_written_is_read_again_however_it_was_cut() {
    let store = Store::new();
    let landing = store.open();
    for chunk in [1 << 30, 65_536, 1_000_003] {
        for unfinished in [&b""[..], b"no line end"] {
            let content = [&long_content()[..], unfinished].concat();
            let segment = land(&landing, &content, chunk);
            assert_eq!(read_all(&landing, &segment).unwrap(), content);
            assert_eq!(segment.bytes, content.len() as u64);
            assert_eq!(
                segment.lines,
                8 + u64::from(!unfinished.is_empty()),
                "the blank line does not count"
            );
        }
    }
    assert_eq!(landing.segments(1).unwrap().len(), 6);
    assert!(landing.segments(2).unwrap().is_empty());
}

#[test]
fn frames_are_whole_lines_and_say_where_they_begin() {
    let store = Store::new();
    let landing = store.open();
    let content = long_content();
    let segment = land(&landing, &content, 4096);
    let mut reader = landing.read(&segment).unwrap();
    let (mut frame, mut frames, mut lines) = (Vec::new(), 0, 1);
    while reader.next_into(&mut frame).unwrap() {
        assert_eq!(reader.first_line(), lines);
        assert!(frame.is_empty() || frame.ends_with(b"\n"));
        lines += frame.iter().filter(|byte| **byte == b'\n').count() as u64;
        frames += 1;
    }
    assert!(frames > 2, "{frames} frames");
    assert!(!reader.next_into(&mut frame).unwrap());
}

#[test]
fn an_empty_file_is_a_segment_without_lines() {
    let store = Store::new();
    let landing = store.open();
    let segment = land(&landing, b"", 1);
    assert_eq!((segment.lines, segment.bytes), (0, 0));
    assert_eq!(read_all(&landing, &segment).unwrap(), b"");
    assert_eq!(landing.segment(segment.id).unwrap(), segment);
}

#[test]
fn every_flipped_byte_is_found() {
    let store = Store::new();
    let landing = store.open();
    let segment = land(&landing, b"{\"resourceType\":\"Patient\"}\n{}\n", 7);
    let path = store.landing_dir().join(&segment.file);
    let whole = fs::read(&path).unwrap();
    assert!(landing.verify(&segment).is_ok());
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            overwrite(&path, &changed);
            let error = landing.verify(&segment).unwrap_err();
            assert!(matches!(error, LandingError::Damaged { .. }), "byte {at}: {error}");
        }
    }
    overwrite(&path, &whole);
    assert!(landing.verify(&segment).is_ok());
}

#[test]
fn a_shorter_or_longer_file_is_found_also_when_its_row_was_changed_to_match() {
    let store = Store::new();
    let landing = store.open();
    let mut segment = land(&landing, &long_content(), 65_536);
    let path = store.landing_dir().join(&segment.file);
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97) {
        overwrite(&path, &whole[..length]);
        assert!(landing.verify(&segment).is_err(), "cut at {length}");
        segment.sealed_bytes = length as u64;
        assert!(landing.verify(&segment).is_err(), "cut at {length}, row changed");
        segment.sealed_bytes = whole.len() as u64;
    }
    let longer = [&whole[..], &whole[..]].concat();
    overwrite(&path, &longer);
    assert!(landing.verify(&segment).is_err());
    segment.sealed_bytes = longer.len() as u64;
    assert!(landing.verify(&segment).is_err());
}

#[test]
fn frames_do_not_change_places_within_or_between_segments() {
    let store = Store::new();
    let landing = store.open();
    let line = [vec![b'x'; 1_100_000], vec![b'\n']].concat();
    let segment = land(&landing, &[&line[..], &line, &line].concat(), 1 << 30);
    let path = store.landing_dir().join(&segment.file);
    let whole = fs::read(&path).unwrap();
    let other = land(&landing, &[&line[..], &line, &line].concat(), 1 << 30);
    let others = fs::read(store.landing_dir().join(&other.file)).unwrap();
    // The first two frames hold the same plain bytes, so they are of one length.
    let length = frame::FRAME_HEAD_BYTES + u32::from_le_bytes(whole[frame::HEAD_BYTES..][..4].try_into().unwrap()) as usize;
    let (first, second) = (
        frame::HEAD_BYTES..frame::HEAD_BYTES + length,
        frame::HEAD_BYTES + length..frame::HEAD_BYTES + 2 * length,
    );
    assert_ne!(whole[first.clone()], whole[second.clone()]);
    let mut swapped = whole.clone();
    swapped[first.clone()].copy_from_slice(&whole[second.clone()]);
    swapped[second].copy_from_slice(&whole[first.clone()]);
    overwrite(&path, &swapped);
    assert!(landing.verify(&segment).is_err());
    let mut moved = whole.clone();
    moved[first.clone()].copy_from_slice(&others[first]);
    overwrite(&path, &moved);
    assert!(landing.verify(&segment).is_err());
}

#[test]
fn another_key_opens_nothing() {
    let store = Store::new();
    let segment = land(&store.open(), b"{}\n", 9);
    let other = store.open_with(&Secret::random(32));
    assert!(matches!(read_all(&other, &segment), Err(LandingError::Damaged { .. })));
}

#[test]
fn nothing_plain_reaches_the_disk() {
    let store = Store::new();
    let landing = store.open();
    let canary = b"CanaryFamilyName";
    let content = [&b"{\"name\":\""[..], canary, b"\"}\n"].concat();
    land(&landing, &content, 5);
    let mut under_way = landing.begin(2, "Patient", Kind::Resources).unwrap();
    under_way.write(&content.repeat(100_000)).unwrap();
    let files = store.files();
    assert_eq!(files.len(), 2);
    for path in files.into_iter().chain([store.dir.path().join("site.db")]) {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(canary.len()).any(|window| window == canary), "{}", path.display());
    }
}

#[test]
fn what_a_crash_leaves_is_removed_at_opening() {
    let store = Store::new();
    let landing = store.open();
    let kept = land(&landing, b"{}\n", 9);
    // A crash runs no destructor: neither the file under way nor the one without a row is cleaned up.
    let mut under_way = landing.begin(1, "Patient", Kind::Resources).unwrap();
    under_way.write(b"{}\n").unwrap();
    std::mem::forget(under_way);
    let mut finished = landing.begin(1, "Patient", Kind::Resources).unwrap();
    finished.write(b"{}\n").unwrap();
    std::mem::forget(finished.finish().unwrap());
    assert_eq!(store.files().len(), 3);
    drop(landing);
    let landing = store.open();
    assert_eq!(store.files(), [store.landing_dir().join(&kept.file)]);
    assert!(landing.verify(&kept).is_ok());
}

#[test]
fn a_dropped_writer_or_unregistered_file_leaves_nothing() {
    let store = Store::new();
    let landing = store.open();
    let mut writer = landing.begin(1, "Patient", Kind::Resources).unwrap();
    writer.write(b"{}\n").unwrap();
    assert_eq!(store.files().len(), 1);
    drop(writer);
    drop(landing.begin(1, "Patient", Kind::Resources).unwrap().finish().unwrap());
    assert!(store.files().is_empty());
    assert!(landing.segments(1).unwrap().is_empty());
}

#[test]
fn segments_and_what_goes_with_them_are_entered_together_or_not_at_all() {
    let store = Store::new();
    let landing = store.open();
    let sealed = || landing.begin(1, "Patient", Kind::Resources).unwrap().finish().unwrap();
    let refused = landing.register(vec![sealed(), sealed()], |_, segments| {
        assert_eq!(segments.len(), 2);
        Err(rusqlite::Error::QueryReturnedNoRows)
    });
    assert!(refused.is_err());
    assert!(landing.segments(1).unwrap().is_empty());
    let entered = landing.register(vec![sealed(), sealed()], |_, _| Ok(())).unwrap();
    assert_eq!(landing.segments(1).unwrap(), entered);
}

#[test]
fn a_forgotten_run_is_gone_and_a_missing_file_is_told() {
    let store = Store::new();
    let landing = store.open();
    let segment = land(&landing, b"{}\n", 9);
    fs::remove_file(store.landing_dir().join(&segment.file)).unwrap();
    let text = landing.verify(&segment).unwrap_err().to_string();
    assert!(text.contains("run 1") && text.contains("no readable file"), "{text}");
    land(&landing, b"{}\n", 9);
    landing.forget(1, |_| Ok(())).unwrap();
    assert!(store.files().is_empty());
    assert!(matches!(landing.segment(segment.id), Err(LandingError::Unknown(_))));
}

#[test]
fn a_line_beyond_the_limit_is_cut_one_byte_after_it_and_the_next_is_whole() {
    let store = Store::new();
    let landing = store.open().with_line_limit(1000);
    for length in [999, 1000, 1001, 1002, 70_000] {
        for chunk in [1, 300, 1 << 20] {
            let content = |length| [&b"short\n"[..], &vec![b'x'; length], b"\nshort\n", &vec![b'y'; length]].concat();
            let segment = land(&landing, &content(length), chunk);
            assert_eq!(
                read_all(&landing, &segment).unwrap(),
                content(length.min(1001)),
                "{length} by {chunk}"
            );
            assert_eq!(segment.lines, 4);
        }
    }
}

#[test]
fn the_writer_says_whether_its_unfinished_line_is_cut() {
    let store = Store::new();
    for (length, cut) in [(1000, false), (1001, true), (5000, true)] {
        let mut writer = store.open().with_line_limit(1000).begin(1, "Patient", Kind::Resources).unwrap();
        writer.write(&vec![b'x'; length]).unwrap();
        assert_eq!(writer.is_line_cut(), cut, "{length}");
    }
}

#[test]
fn a_second_process_reads_but_does_not_write() {
    let store = Store::new();
    let first = store.open();
    let segment = land(&first, b"{}\n", 9);
    let mut under_way = first.begin(1, "Patient", Kind::Resources).unwrap();
    let second = store.open();
    assert!(second.verify(&segment).is_ok());
    let error = second.begin(1, "Patient", Kind::Resources).err().unwrap();
    assert!(error.to_string().contains("held by another process"), "{error}");
    under_way.write(b"{}\n").unwrap();
    under_way.seal().unwrap();
    assert_eq!(second.segments(1).unwrap().len(), 2);
}

#[test]
fn the_writer_shows_its_unfinished_line() {
    let store = Store::new();
    let mut writer = store.open().begin(1, "Patient", Kind::Resources).unwrap();
    assert!(writer.ends_with_newline());
    writer.write(b"{\"a\":1}\n{\"b\"").unwrap();
    assert_eq!((writer.lines(), writer.unfinished_line()), (2, &b"{\"b\""[..]));
    writer.write(b":2}\n\n  \n").unwrap();
    assert_eq!((writer.lines(), writer.ends_with_newline()), (2, true));
}

#[allow(clippy::disallowed_methods, reason = "tests damage files")]
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}
