//! What mappings look up in other resources: the newest landed state of the declared types, and a digest of it, which
//! tells whether rows made by earlier lookups still stand.

use std::collections::BTreeMap;

use crate::landing::Kind;
use crate::map::Lookups;
use crate::platform::secret::sha256;
use crate::validate;

use super::error::GatewayError;
use super::ledger::SourceKey;
use super::site::Site;
use super::steps::{self, Bench, Head};
use super::transform::{content, source_key};
use super::version;

/// The lookups of everything landed, and their digest.
/// # Errors: a segment that cannot be read.
pub(super) fn gather(site: &Site) -> Result<(Lookups, Vec<u8>), GatewayError> {
    let rules = &site.rules;
    let mut builder = rules.lookups();
    let types = rules.mapping.lookup_types();
    let mut newest: BTreeMap<SourceKey, ([u8; 16], String)> = BTreeMap::new();
    let (mut bench, mut bytes, mut room) = (Bench::default(), Vec::new(), Vec::new());
    let segments = site.landing.all_segments()?;
    for segment in segments
        .iter()
        .filter(|s| s.kind == Kind::Resources && types.contains(&s.resource_type.as_str()))
    {
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            for (_, line) in steps::lines(1, &bytes) {
                // What cannot be read or does not conform is refused, and counted, when it is transformed.
                let Ok(root) = bench.read(line, &site.settings.limits) else {
                    continue;
                };
                let (Ok(head), Ok(conformant)) = (Head::of(root), validate::validate(&rules.profiles, root)) else {
                    continue;
                };
                let key = source_key(site, head.resource_type, &head.id);
                let version = version::of(&head.last_updated);
                if newest.get(&key).is_some_and(|(_, held)| version::is_later(held, version)) {
                    continue;
                }
                newest.insert(key, (content(root, &mut room), version.to_owned()));
                builder.add(conformant);
            }
        }
    }
    let mut all = Vec::with_capacity(newest.len() * 32);
    for (key, (content, _)) in newest {
        all.extend_from_slice(&key);
        all.extend_from_slice(&content);
    }
    Ok((builder.finish(), sha256(&all).to_vec()))
}
