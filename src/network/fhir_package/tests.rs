//! Packages as HL7 publishes them, and as somebody would who means ill.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const ABOUT: &str = r#"{"name":"x.y","version":"1.2.0","fhirVersions":["4.0.1"]}"#;
const SET: &str = r#"{"resourceType":"ValueSet","url":"http://x/v"}"#;

/// A ustar entry.
fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).expect("written");
    gzip.finish().expect("written")
}

fn read(entries: &[Vec<u8>]) -> Result<FhirPackage, String> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    read_gzip(&gzip(&bytes))
}

fn read_gzip(bytes: &[u8]) -> Result<FhirPackage, String> {
    FhirPackage::of_archive(archive::of(bytes, bytes.len() as u64)?)
}

#[test]
fn a_package_is_named_and_keeps_its_definitions() {
    let long = format!("package/ValueSet-{}.json", "x".repeat(120));
    let pax = format!("path={long}\n");
    let pax = format!("{} {pax}", pax.len() + 4);
    let package = read(&[
        entry("package", b'5', b""),
        entry("package/package.json", b'0', ABOUT.as_bytes()),
        entry("package/.index.json", b'0', b"{}"),
        entry("package/ValueSet-v.json", b'0', SET.as_bytes()),
        entry("package/SearchParameter-s.json", b'0', br#"{"resourceType":"SearchParameter"}"#),
        entry("package/example/ValueSet-w.json", b'0', SET.as_bytes()),
        entry("package-evil/ValueSet-e.json", b'0', SET.as_bytes()),
        entry("pax", b'x', pax.as_bytes()),
        entry("package/short.json", b'0', SET.as_bytes()),
        entry("longlink", b'L', b"package/ValueSet-gnu.json\0"),
        entry("package/short.json", b'0', SET.as_bytes()),
    ])
    .expect("a package");
    assert_eq!(package.shown(), "x.y#1.2.0");
    let names: Vec<_> = package.files.iter().map(|(name, _)| name.as_str()).collect();
    let long = format!("x.y#1.2.0/{}", &long["package/".len()..]);
    assert_eq!(names, ["x.y#1.2.0/ValueSet-gnu.json", "x.y#1.2.0/ValueSet-v.json", &long]);
}

#[test]
fn an_archive_that_means_ill_is_refused_whole() {
    let about = || entry("package/package.json", b'0', ABOUT.as_bytes());
    let set = || entry("package/ValueSet-v.json", b'0', SET.as_bytes());
    let bomb = vec![b' '; 8 << 20];
    for (entries, words) in [
        (
            vec![about(), entry("package/../../etc/x.json", b'0', SET.as_bytes())],
            "no name of a file within it",
        ),
        (
            vec![about(), entry("/package/x.json", b'0', SET.as_bytes())],
            "no name of a file within it",
        ),
        (
            vec![about(), set(), entry("package/link.json", b'2', b"")],
            "neither file nor folder",
        ),
        (
            vec![about(), set(), entry("package/hard.json", b'1', b"")],
            "neither file nor folder",
        ),
        (vec![about(), set(), set()], "twice"),
        (vec![about(), entry("package/bomb.json", b'0', &bomb)], "becomes larger than"),
        (vec![about(), set(), entry("elsewhere/bomb", b'0', &bomb)], "becomes larger than"),
        (vec![about(), entry("package/x.json", b'0', b"\"ValueSet\xff\"")], "not UTF-8"),
        (
            vec![about(), entry("package/x.json", b'0', b"{\"resourceType\":\"ValueSet\"")],
            "`x.json` is not JSON",
        ),
        (vec![about()], "holds no StructureDefinition"),
        (vec![set()], "no package/package.json"),
        (vec![entry("package/package.json", b'0', b"[]"), set()], "is no package's at line 1"),
        (
            vec![
                entry("package/package.json", b'0', br#"{"name":"x","fhirVersions":["5.0.0"]}"#),
                set(),
            ],
            "is for FHIR 5.0.0; this reads R4",
        ),
    ] {
        let fault = read(&entries).expect_err(words);
        assert!(fault.contains(words), "{words}: {fault}");
    }
}

#[test]
fn an_archive_that_is_none_or_not_whole_says_so() {
    let whole = [
        entry("package/package.json", b'0', ABOUT.as_bytes()),
        entry("package/v.json", b'0', SET.as_bytes()),
    ]
    .concat();
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    let packed = gzip(&whole);
    let huge = {
        let mut huge = entry("package/v.json", b'0', b"");
        huge[124..136].copy_from_slice(b"77777777777\0");
        huge[148..156].fill(b' ');
        let sum: u64 = huge.iter().map(|byte| u64::from(*byte)).sum();
        huge[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        gzip(&huge)
    };
    for (bytes, words) in [
        (b"PK\x03\x04 is a zip".to_vec(), "is no gzip archive"),
        (gzip(b"too short for a tar"), "ends in the middle"),
        (packed[..packed.len() / 2].to_vec(), "ends in the middle"),
        (gzip(&whole[..700]), "ends in the middle"),
        (gzip(&damaged), "checksum is wrong"),
        (huge, "too large"),
    ] {
        let fault = read_gzip(&bytes).expect_err(words);
        assert!(fault.contains(words), "{words}: {fault}");
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a test writes its own input, and nothing hangs on its durability"
)]
fn a_folder_lines_and_a_bundle_are_packages_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("unpacked/package")).expect("a folder");
    fs::write(at("unpacked/package/package.json"), ABOUT).expect("written");
    fs::write(at("unpacked/package/ValueSet-v.json"), SET).expect("written");
    fs::create_dir(at("loose")).expect("a folder");
    fs::write(at("loose/v.json"), SET).expect("written");
    fs::write(at("r4.ndjson"), format!("{SET}\n\n{SET}\n")).expect("written");
    let bundle = format!(r#"{{"resourceType":"Bundle","entry":[{{"resource":{{"resourceType":"Patient"}}}},{{"resource":{SET}}}]}}"#);
    fs::write(at("all.json"), bundle).expect("written");
    fs::write(at("x.zip"), "PK").expect("written");
    let names = |name: &str| -> Vec<String> {
        let package = FhirPackage::read(&at(name)).expect(name);
        package.files.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names("unpacked"), ["x.y#1.2.0/ValueSet-v.json"]);
    assert_eq!(names("loose"), ["loose/v.json"]);
    assert_eq!(names("r4.ndjson"), ["r4/r4.ndjson:1", "r4/r4.ndjson:3"]);
    assert_eq!(names("all.json"), ["all/all.json:entry 2"]);
    for (name, words) in [("x.zip", "must end in .tgz"), ("none.tgz", "cannot be read (entity not found)")] {
        let fault = FhirPackage::read(&at(name)).expect_err(words);
        assert!(fault.starts_with("package `") && fault.contains(words), "{fault}");
    }
}
