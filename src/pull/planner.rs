//! Decides type by type what comes by `$export` and what by search: by what the server says it can, what its vendor's profile
//! knows, and how fast each way was before at this EHR. Decided once for a run, and kept. Asks nobody itself.

use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension, params};

use super::capability::Capability;
use super::crawl::REFERENCED;
use super::offer;
use super::settings::{Cohort, EhrSettings, Level, Method, Request};
use super::vendor::Preferred;
use crate::platform::database::{self, DatabaseError};
use crate::platform::http::Url;

/// One way must have been so many times as fast as the other to outweigh the vendor's profile.
const FASTER: f64 = 2.0;
/// Less than this says nothing of speed.
const MEASURED_RESOURCES: u64 = 100;

/// Which types come which way. `None`: none that way; an empty list: all there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) bulk: Option<Vec<String>>,
    pub(super) search: Option<Vec<String>>,
}

/// Resources a second, by way, where it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) bulk: Option<f64>,
    pub(super) search: Option<f64>,
}

/// The plan for `request`. `capability` is `None` when the server shows none.
pub(super) fn decide(settings: &EhrSettings, request: &Request, capability: Option<&Capability>, rates: Rates) -> Plan {
    let types = settings.types.clone();
    match settings.method {
        Method::Bulk => return by_bulk(types),
        Method::Search | Method::Everything => return by_search(types),
        Method::Planned => {}
    }
    let preferred = preferred(settings, request, rates);
    if !can_export(settings, request, capability, preferred) {
        return by_search(types);
    }
    if types.is_empty() {
        return match preferred {
            Preferred::Bulk => by_bulk(types),
            Preferred::Search => by_search(types),
        };
    }
    let vendor = &settings.vendor;
    let (bulk, search): (Vec<String>, Vec<String>) = types.into_iter().partition(|name| {
        let exported = !vendor.not_exported.contains(name);
        let read_on_the_way = REFERENCED.contains(&name.as_str()) || vendor.by_reference.contains(name);
        let found = (settings.hydrate && read_on_the_way) || capability.is_none_or(|capability| capability.searches(name));
        exported && (preferred == Preferred::Bulk || !found)
    });
    Plan {
        bulk: Some(bulk).filter(|types| !types.is_empty()),
        search: Some(search).filter(|types| !types.is_empty()),
    }
}

fn by_bulk(types: Vec<String>) -> Plan {
    Plan {
        bulk: Some(types),
        search: None,
    }
}

fn by_search(types: Vec<String>) -> Plan {
    Plan {
        bulk: None,
        search: Some(types),
    }
}

fn preferred(settings: &EhrSettings, request: &Request, rates: Rates) -> Preferred {
    let vendor = &settings.vendor;
    // What an export cannot leave out, a search can.
    if request.earliest(&settings.types).is_some() && !vendor.export_since && vendor.search_last_updated {
        return Preferred::Search;
    }
    match (rates.bulk, rates.search) {
        (Some(bulk), Some(search)) if bulk > search * FASTER => Preferred::Bulk,
        (Some(bulk), Some(search)) if search > bulk * FASTER => Preferred::Search,
        _ => vendor.preferred,
    }
}

/// Whether this cohort can come by export. A server that says nothing of exports is believed to have what its profile says,
/// unless searching it is known to be possible and preferred.
fn can_export(settings: &EhrSettings, request: &Request, capability: Option<&Capability>, preferred: Preferred) -> bool {
    // A few patients come sooner by search, and an export knows no file and no search for its cohort.
    if settings.cohort != Cohort::Level || !request.patients.is_empty() {
        return false;
    }
    let level = match settings.level {
        Level::System => "system",
        Level::Patient => "patient",
        Level::Group(_) => "group",
    };
    if !settings.vendor.export_levels.iter().any(|known| known == level) {
        return false;
    }
    match capability {
        Some(capability) if !capability.exports.is_empty() => capability.exports.contains(level),
        _ => preferred == Preferred::Bulk,
    }
}

/// The plan of the run; `decided`, and kept from now on, when it has none. So are the types that it leaves out.
/// # Errors: the database.
pub(super) fn keep(database: &Mutex<Connection>, request: &Request, decided: &Plan, not_offered: &[String]) -> Result<(), DatabaseError> {
    let list = |types: &Option<Vec<String>>| types.as_ref().map(|types| types.join(","));
    database::transaction(database, |tx| {
        tx.execute(
            "INSERT INTO pull_plan (run, bulk, search, aside) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![request.run, list(&decided.bulk), list(&decided.search), request.is_aside()],
        )
        .map(drop)?;
        offer::keep(tx, request.run, not_offered)
    })
}

/// The plan that was kept for the run.
/// # Errors: the database.
pub(super) fn kept(database: &Mutex<Connection>, run: i64) -> Result<Option<Plan>, DatabaseError> {
    let types = |list: Option<String>| list.map(|list| list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect());
    database::read(database, |db| {
        db.query_row("SELECT bulk, search FROM pull_plan WHERE run = ?1", [run], |row| {
            Ok(Plan {
                bulk: types(row.get(0)?),
                search: types(row.get(1)?),
            })
        })
        .optional()
    })
}

/// Adds what one way gave in this run, and in which time, to what is known of this EHR.
/// # Errors: the database.
pub(super) fn measured(
    database: &Mutex<Connection>,
    base: &Url,
    way: Preferred,
    resources: u64,
    milliseconds: u64,
) -> Result<(), DatabaseError> {
    let (Ok(resources), Ok(milliseconds)) = (i64::try_from(resources), i64::try_from(milliseconds)) else {
        return Ok(());
    };
    database::transaction(database, |tx| {
        tx.execute(
            "INSERT INTO pull_rate (ehr, way, resources, milliseconds) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET resources = resources + ?3, milliseconds = milliseconds + ?4",
            params![base.as_str(), word(way), resources, milliseconds],
        )
        .map(drop)
    })
}

/// How fast this EHR was.
/// # Errors: the database.
pub(super) fn rates(database: &Mutex<Connection>, base: &Url) -> Result<Rates, DatabaseError> {
    let rate = |way| {
        database::read(database, |db| {
            let found: Option<(i64, i64)> = db
                .query_row(
                    "SELECT resources, milliseconds FROM pull_rate WHERE ehr = ?1 AND way = ?2",
                    params![base.as_str(), word(way)],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            Ok(found.and_then(|(resources, milliseconds)| per_second(resources, milliseconds)))
        })
    };
    Ok(Rates {
        bulk: rate(Preferred::Bulk)?,
        search: rate(Preferred::Search)?,
    })
}

#[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
fn per_second(resources: i64, milliseconds: i64) -> Option<f64> {
    let enough = u64::try_from(resources).is_ok_and(|resources| resources >= MEASURED_RESOURCES) && milliseconds > 0;
    enough.then(|| resources as f64 * 1000.0 / milliseconds as f64)
}

fn word(way: Preferred) -> &'static str {
    match way {
        Preferred::Bulk => "bulk",
        Preferred::Search => "search",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(types: &[&str]) -> EhrSettings {
        let mut settings = EhrSettings::new(Url::parse("https://ehr.test").unwrap(), "client");
        settings.types = types.iter().map(|name| (*name).to_owned()).collect();
        settings
    }

    fn capability(exports: &[&'static str], searchable: &[&str]) -> Capability {
        let mut capability = Capability::default();
        capability.exports.extend(exports);
        for name in searchable {
            capability.types.entry((*name).to_owned()).or_default().search = true;
        }
        capability
    }

    fn check(settings: &EhrSettings, capability: Option<&Capability>, rates: Rates, bulk: Option<&[&str]>, search: Option<&[&str]>) {
        let list = |types: Option<&[&str]>| types.map(|types| types.iter().map(|name| (*name).to_owned()).collect());
        let expected = Plan {
            bulk: list(bulk),
            search: list(search),
        };
        assert_eq!(decide(settings, &Request::new(1), capability, rates), expected);
    }

    #[test]
    fn the_server_the_profile_and_the_cohort_say_what_is_possible() {
        let none = Rates::default();
        let both = capability(&["system"], &["Patient", "Goal"]);
        check(&settings(&["Patient", "Goal"]), Some(&both), none, Some(&["Patient", "Goal"]), None);
        check(&settings(&[]), None, none, Some(&[]), None);
        // The level is not offered.
        let mut group = settings(&["Patient"]);
        group.level = Level::Group("g".to_owned());
        check(&group, Some(&both), none, None, Some(&["Patient"]));
        // A list of patients.
        let mut listed = settings(&["Patient"]);
        listed.cohort = Cohort::Listed("x".into());
        check(&listed, Some(&both), none, None, Some(&["Patient"]));
        // Both ways in one run: what is never exported is searched.
        let mut binary = settings(&["Patient", "Goal"]);
        binary.vendor.not_exported = vec!["Goal".to_owned()];
        check(&binary, Some(&both), none, Some(&["Patient"]), Some(&["Goal"]));
        // The vendor is better at search, but one type cannot be searched.
        let mut search = settings(&["Patient", "Basic", "Location"]);
        search.vendor.preferred = Preferred::Search;
        check(&search, Some(&both), none, Some(&["Basic"]), Some(&["Patient", "Location"]));
        // It says nothing of itself: the profile decides.
        check(&search, None, none, None, Some(&["Patient", "Basic", "Location"]));
    }

    #[test]
    fn a_way_that_was_twice_as_fast_outweighs_the_profile() {
        let both = capability(&["system"], &["Goal"]);
        let rates = |bulk, search| Rates {
            bulk: Some(bulk),
            search: Some(search),
        };
        let goal = settings(&["Goal"]);
        check(&goal, Some(&both), rates(10.0, 19.0), Some(&["Goal"]), None);
        check(&goal, Some(&both), rates(10.0, 21.0), None, Some(&["Goal"]));
        let unmeasured = Rates {
            bulk: Some(1.0),
            search: None,
        };
        check(&goal, Some(&both), unmeasured, Some(&["Goal"]), None);
    }

    #[test]
    fn a_backfill_and_an_export_without_since_go_by_search() {
        let both = capability(&["system"], &["Goal"]);
        let goal = settings(&["Goal"]);
        let backfill = Request {
            patients: vec!["p".to_owned()],
            ..Request::new(1)
        };
        assert_eq!(
            decide(&goal, &backfill, Some(&both), Rates::default()),
            by_search(goal.types.clone())
        );
        let since = Request {
            since: Some("2026-03-01T02:00:00Z".parse().unwrap()),
            ..Request::new(1)
        };
        assert_eq!(decide(&goal, &since, Some(&both), Rates::default()), by_bulk(goal.types.clone()));
        let mut whole = goal.clone();
        whole.vendor.export_since = false;
        assert_eq!(decide(&whole, &since, Some(&both), Rates::default()), by_search(goal.types));
    }

    #[test]
    fn a_plan_is_kept_and_rates_add_up() {
        let database = Mutex::new(Connection::open_in_memory().unwrap());
        database::lock(&database).execute_batch(super::super::tables::SCHEMA).unwrap();
        assert_eq!(kept(&database, 1).unwrap(), None);
        let plan = Plan {
            bulk: Some(Vec::new()),
            search: Some(vec!["Goal".to_owned(), "Basic".to_owned()]),
        };
        keep(&database, &Request::new(1), &plan, &["Coverage".to_owned()]).unwrap();
        keep(&database, &Request::new(1), &Plan::default(), &[]).unwrap();
        assert_eq!(kept(&database, 1).unwrap(), Some(plan));
        assert_eq!(offer::kept(&database, 1).unwrap(), ["Coverage"]);
        let base = Url::parse("https://ehr.test").unwrap();
        measured(&database, &base, Preferred::Bulk, 60, 1000).unwrap();
        assert_eq!(rates(&database, &base).unwrap().bulk, None, "too little to say");
        measured(&database, &base, Preferred::Bulk, 60, 2000).unwrap();
        let expected = Rates {
            bulk: Some(40.0),
            search: None,
        };
        assert_eq!(rates(&database, &base).unwrap(), expected);
    }
}
