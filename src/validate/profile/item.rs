//! What one item of an element must be by itself: its value, type, codes, reference, length, profile and invariants. Its elements
//! and slices are `walk`'s.

use super::rule::{Checks, Profile, Profiled};
use super::share::Item;
use super::walk::Walk;
use crate::validate::issues::{Severity, Source, Stop};

impl<'p, 't, 'a> Walk<'_, 'p, 't, 'a, '_> {
    pub(super) fn checks(&mut self, profile: &'p Profile, checks: &'p Checks, item: Item<'t, 'a>) -> Result<(), Stop> {
        if let Some(node) = item.node {
            for pattern in &checks.patterns {
                self.spend(pattern.weight())?;
                if !pattern.matches(node) {
                    self.issues
                        .at(node, if pattern.exact { "fixed value" } else { "pattern" }, self.source(profile))?;
                }
            }
            if !checks.types.is_empty() && item.kind.is_some_and(|kind| !checks.types.contains(&kind)) {
                self.issues.at(node, "type not allowed", self.source(profile))?;
            }
            for binding in &checks.bindings {
                if super::binding::is_outside(binding, node, item.kind) {
                    let rule = if binding.required {
                        "required binding"
                    } else {
                        "extensible binding"
                    };
                    self.issues.at(node, rule, self.mild(profile, !binding.required))?;
                }
            }
            if let Some(targets) = &checks.targets {
                self.target(profile, targets, node)?;
            }
            if let Some(limits) = &checks.limits
                && let Some(rule) = super::limits::fault(limits, node)
            {
                self.issues.at(node, rule, self.source(profile))?;
            }
            for profiled in &checks.profiles {
                self.profiled(profile, profiled, item)?;
            }
        }
        for invariant in &checks.invariants {
            let (holds, steps) = invariant.holds(&self.here, &item);
            self.spend(u64::from(steps) + 1)?;
            if !holds && let Some(node) = item.place() {
                let rule = format!("invariant {}", invariant.key);
                self.issues.at(node, rule, self.mild(profile, invariant.mild))?;
            }
        }
        Ok(())
    }

    /// The profiles that an item of this type must fit, one of them at least.
    fn profiled(&mut self, profile: &'p Profile, profiled: &'p Profiled, item: Item<'t, 'a>) -> Result<(), Stop> {
        let kind = item.kind.filter(|kind| *kind == profiled.kind);
        let (Some(node), Some(_)) = (item.node, kind) else { return Ok(()) };
        let here = if profiled.kind.is_resource() {
            self.inside(node)
        } else {
            self.here
        };
        if let [only] = profiled.any.as_slice() {
            let before = std::mem::replace(&mut self.here, here);
            let result = self.profile(*only, item);
            self.here = before;
            return result;
        }
        if profiled
            .any
            .iter()
            .any(|number| self.fits(here, |walk| walk.profile(*number, item)))
        {
            return Ok(());
        }
        self.issues.at(node, "fits none of its profiles", self.source(profile))
    }

    /// The source of a fault by this profile, which is only a warning.
    fn mild(&self, profile: &'p Profile, is_mild: bool) -> Source<'p> {
        let source = self.source(profile);
        match (is_mild, source.severity) {
            (true, Severity::Error) => Source {
                severity: Severity::Warning,
                ..source
            },
            _ => source,
        }
    }
}
