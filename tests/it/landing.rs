//! The landing store under content nobody thought of.

use std::sync::{Arc, Mutex};

use headwater::landing::{Kind, Landing, SCHEMA};
use headwater::platform::{database, secret::Secret};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_content_in_any_pieces_comes_back_whole(pieces in vec(vec(prop_oneof![3 => Just(b'\n'), 20 => any::<u8>()], 0..3000), 0..12)) {
        let dir = tempfile::tempdir().unwrap();
        let database = database::open(&dir.path().join("site.db"), &[SCHEMA]).unwrap();
        let landing = Landing::open(&dir.path().join("landing"), Secret::random(32), Arc::new(Mutex::new(database))).unwrap();
        let mut writer = landing.begin(1, "Patient", Kind::Resources).unwrap();
        for piece in &pieces {
            writer.write(piece).unwrap();
        }
        let lines = writer.lines();
        let segment = writer.seal().unwrap();
        let content = pieces.concat();
        let again: Vec<u8> = landing.read(&segment).unwrap().map(Result::unwrap).collect::<Vec<_>>().concat();
        prop_assert_eq!(&again, &content);
        let expected = content.split(|b| *b == b'\n').filter(|line| line.iter().any(|b| !b.is_ascii_whitespace())).count() as u64;
        prop_assert_eq!(lines, expected);
        prop_assert_eq!(segment.lines, expected);
    }
}
