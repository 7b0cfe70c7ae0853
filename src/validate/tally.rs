//! What is counted while resources are held to profiles: resources, faults by rule, and how often an element that must be
//! supported is there. Each thread has its own; they are merged. Holds element paths and rules, never a value.

use std::collections::BTreeMap;

use super::issues::Severity;

/// Different faults that are told apart; behind them, all are one.
const MOST: usize = 10_000;

/// Counts over many resources.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By the profile's number.
    profiles: Vec<Counts>,
    faults: BTreeMap<Fault, u64>,
    more: u64,
    /// Which elements the resource at hand was seen to have.
    seen: Vec<bool>,
}

/// One kind of fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    profile: Option<u32>,
    severity: Severity,
    path: String,
    rule: String,
}

/// What is counted of one profile.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// Resources held to it.
    resources: u64,
    /// Of each element that must be supported: resources that have it.
    present: Vec<u64>,
}

/// What a tally says, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Profiles that some resource was held to.
    pub profiles: Vec<ProfileReport>,
    /// Faults by profile, severity, path and rule, the indexes taken out of the paths.
    pub faults: Vec<FaultReport>,
    /// Faults beyond those.
    pub more: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileReport {
    /// The profile's canonical, or its file where it has none.
    pub profile: String,
    /// Resources held to it.
    pub resources: u64,
    /// Elements that must be supported, each with the resources that have it.
    pub must_support: Vec<(String, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultReport {
    /// The profile's canonical or file; none for a rule of FHIR's own.
    pub profile: Option<String>,
    pub severity: Severity,
    pub path: String,
    pub rule: String,
    pub count: u64,
}

impl Tally {
    /// Adds what another has counted, under the same profiles.
    pub fn merge(&mut self, other: Tally) {
        if self.profiles.len() < other.profiles.len() {
            self.profiles.resize_with(other.profiles.len(), Counts::default);
        }
        for (own, theirs) in self.profiles.iter_mut().zip(other.profiles) {
            own.resources += theirs.resources;
            if own.present.len() < theirs.present.len() {
                own.present.resize(theirs.present.len(), 0);
            }
            for (own, theirs) in own.present.iter_mut().zip(theirs.present) {
                *own += theirs;
            }
        }
        for (fault, count) in other.faults {
            self.add(fault, count);
        }
        self.more += other.more;
    }

    /// In words; `name` gives a profile's name, `elements` the paths that it says must be supported.
    pub(super) fn report<'p>(&self, name: impl Fn(u32) -> String, elements: impl Fn(u32) -> &'p [String]) -> Report {
        let profiles = self.profiles.iter().enumerate().filter(|(_, counts)| counts.resources > 0);
        let profiles = profiles.map(|(number, counts)| ProfileReport {
            profile: name(number as u32),
            resources: counts.resources,
            must_support: elements(number as u32)
                .iter()
                .enumerate()
                .map(|(at, element)| (element.clone(), counts.present.get(at).copied().unwrap_or(0)))
                .collect(),
        });
        let faults = self.faults.iter().map(|(fault, count)| FaultReport {
            profile: fault.profile.map(&name),
            severity: fault.severity,
            path: fault.path.clone(),
            rule: fault.rule.clone(),
            count: *count,
        });
        Report {
            profiles: profiles.collect(),
            faults: faults.collect(),
            more: self.more,
        }
    }

    /// A resource is held to a profile with so many elements that must be supported.
    #[inline]
    pub(super) fn resource(&mut self, profile: u32, elements: usize) {
        self.counts(profile).resources += 1;
        self.seen.clear();
        self.seen.resize(elements, false);
    }

    /// The resource at hand has this element.
    #[inline]
    pub(super) fn present(&mut self, profile: u32, element: usize) {
        match self.seen.get_mut(element) {
            Some(seen) if !*seen => *seen = true,
            _ => return,
        }
        let present = &mut self.counts(profile).present;
        if present.len() <= element {
            present.resize(element + 1, 0);
        }
        present[element] += 1;
    }

    fn counts(&mut self, profile: u32) -> &mut Counts {
        let at = profile as usize;
        if self.profiles.len() <= at {
            self.profiles.resize_with(at + 1, Counts::default);
        }
        &mut self.profiles[at]
    }

    pub(super) fn fault(&mut self, profile: Option<u32>, path: &str, rule: &str, severity: Severity) {
        let fault = Fault {
            profile,
            severity,
            path: without_indexes(path),
            rule: rule.to_owned(),
        };
        self.add(fault, 1);
    }

    fn add(&mut self, fault: Fault, count: u64) {
        if let Some(known) = self.faults.get_mut(&fault) {
            *known += count;
        } else if self.faults.len() < MOST {
            self.faults.insert(fault, count);
        } else {
            self.more += count;
        }
    }
}

/// `Observation.component.code` for `Observation.component[1].code`.
fn without_indexes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for letter in path.chars() {
        match letter {
            '[' => inside = true,
            ']' if inside => inside = false,
            _ if inside => {}
            _ => out.push(letter),
        }
    }
    out
}
