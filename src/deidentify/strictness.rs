//! Which method gives away no more than another: a partial order with `drop` at its bottom.
//! Knows methods, not columns: what may stand on a column is `placement`'s. A site may go down the order, never up.

use super::method::{Detail, Method};
use super::rule::Rule;

/// The next ones down. What is not reached from a rule over these is looser, or tells something else.
///
/// A true month and a moved day do not compare; the law's own year lies below both. A birth date keeps to its own words: a plain
/// year would bring back the ninety-year-old.
fn below(rule: Rule) -> &'static [Rule] {
    match rule {
        Rule::Drop => &[],
        Rule::Keep => &[Rule::Code, Rule::Age, Rule::Perturb],
        Rule::Code => &[Rule::RollUp],
        Rule::Pseudonym => &[Rule::Surrogate],
        Rule::Shift | Rule::Month => &[Rule::Year],
        Rule::BirthDate => &[Rule::BirthYear],
        Rule::Age => &[Rule::AgeBand],
        Rule::Zip9 => &[Rule::Zip5],
        Rule::Zip5 => &[Rule::Zip3],
        _ => &[Rule::Drop],
    }
}

impl Rule {
    /// Whether a site may put `tighter` in the place of this rule, whatever both are told beside their word.
    fn reaches(self, tighter: Rule) -> bool {
        self == tighter || below(self).iter().any(|next| next.reaches(tighter))
    }
}

impl Method {
    /// Whether the method may replace `self` by a site's own decision: it gives away no more than `self` does.
    pub(super) fn may_become(&self, tighter: &Method) -> bool {
        if self.rule != tighter.rule {
            return self.rule.reaches(tighter.rule);
        }
        match (&self.detail, &tighter.detail) {
            // Bands join, and are not cut anew.
            (Detail::Bands(mine), Detail::Bands(its)) => its.iter().all(|start| mine.contains(start)),
            (Detail::Within(mine), Detail::Within(its)) => its.covers(*mine),
            (mine, its) => mine == its,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deidentify::perturb::Scaled;
    use proptest::prelude::*;

    fn plain(rule: Rule) -> Method {
        Method {
            rule,
            detail: Detail::None,
        }
    }

    fn any_method() -> impl Strategy<Value = Method> {
        let bands = proptest::collection::btree_set(1i64..90, 0..6).prop_map(|starts| Method {
            rule: Rule::AgeBand,
            detail: Detail::Bands(starts.into_iter().chain([90]).collect()),
        });
        let within = (1u32..50, 0usize..3).prop_map(|(bound, decimals)| Method {
            rule: Rule::Perturb,
            detail: Detail::Within(Scaled::parse(&format!("{bound}.{}", "0".repeat(decimals + 1))).expect("a number")),
        });
        let words = proptest::sample::select(Rule::ALL.to_vec())
            .prop_filter("told something", |rule| !matches!(rule, Rule::AgeBand | Rule::Perturb))
            .prop_map(plain);
        prop_oneof![words, bands, within]
    }

    /// Whether it is the same to a reader: equal, or equal noise written with other digits.
    fn same(one: &Method, two: &Method) -> bool {
        one.may_become(two) && two.may_become(one)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn strictness_is_a_partial_order_with_drop_at_its_bottom(a in any_method(), b in any_method(), c in any_method()) {
            prop_assert!(a.may_become(&a), "reflexive");
            if a.may_become(&b) && b.may_become(&c) {
                prop_assert!(a.may_become(&c), "transitive");
            }
            if same(&a, &b) {
                prop_assert_eq!(a.rule, b.rule, "nothing is both stricter and looser");
            }
            let drop = plain(Rule::Drop);
            prop_assert!(a.may_become(&drop));
            prop_assert_eq!(drop.may_become(&a), a.rule == Rule::Drop);
        }
    }

    #[test]
    fn a_site_may_tighten_and_never_loosen() {
        let may = |one, two| plain(one).may_become(&plain(two));
        for (one, two) in [
            (Rule::Zip9, Rule::Zip5),
            (Rule::Zip9, Rule::Zip3),
            (Rule::Zip5, Rule::Zip3),
            (Rule::Shift, Rule::Year),
            (Rule::Month, Rule::Year),
            (Rule::BirthDate, Rule::BirthYear),
            (Rule::Keep, Rule::Code),
            (Rule::Keep, Rule::RollUp),
            (Rule::Pseudonym, Rule::Surrogate),
            (Rule::Keep, Rule::AgeBand),
        ] {
            assert!(may(one, two) && !may(two, one), "{one:?} {two:?}");
        }
        for (one, two) in [
            (Rule::BirthDate, Rule::Year),
            (Rule::BirthYear, Rule::Year),
            (Rule::Shift, Rule::Month),
            (Rule::Month, Rule::Shift),
            (Rule::Drop, Rule::Keep),
            (Rule::Redact, Rule::Code),
            (Rule::Zip3, Rule::State),
        ] {
            assert!(!may(one, two), "{one:?} {two:?}");
        }
    }

    #[test]
    fn bands_join_and_noise_grows() {
        let bands = |starts: &[i64]| Method {
            rule: Rule::AgeBand,
            detail: Detail::Bands(starts.into()),
        };
        assert!(bands(&[18, 65, 90]).may_become(&bands(&[65, 90])));
        assert!(
            !bands(&[18, 65, 90]).may_become(&bands(&[40, 90])),
            "cut anew, two tables together would tell more"
        );
        let within = |bound: &str| Method {
            rule: Rule::Perturb,
            detail: Detail::Within(Scaled::parse(bound).expect("a number")),
        };
        assert!(within("2.5").may_become(&within("3")) && !within("3").may_become(&within("2.5")));
    }
}
