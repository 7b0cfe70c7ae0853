//! What the server says it is: its CapabilityStatement. FHIR R4 or not, and what it offers to export and to search.

use serde_json::Value;

use super::ask::Answer;
use super::finding::{Finding, Mender};
use crate::gateway::feeds::Feeds;
use crate::platform::http::{Url, WebOrigin};
use crate::pull::{EhrSettings, Level, Method};

/// What a CapabilityStatement offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    /// Whether there is a statement to go by.
    pub(super) said: bool,
    system_export: bool,
    /// Name, whether it can be read, whether it can be searched, whether it is exported.
    types: Vec<(String, bool, bool, bool)>,
}

impl Offer {
    fn of(statement: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let exports = |value: &Value| {
            list(&value["operation"]).iter().any(|operation| {
                let name = operation["name"].as_str().unwrap_or_default();
                name.trim_start_matches('$').contains("export")
                    || operation["definition"]
                        .as_str()
                        .is_some_and(|definition| definition.ends_with("-export") || definition.ends_with("/export"))
            })
        };
        let mut offer = Self {
            said: true,
            ..Self::default()
        };
        for rest in list(&statement["rest"]).into_iter().filter(|rest| rest["mode"] != "client") {
            offer.system_export |= exports(&rest);
            for resource in list(&rest["resource"]) {
                let may = |code: &str| list(&resource["interaction"]).iter().any(|interaction| interaction["code"] == code);
                let name = resource["type"].as_str().unwrap_or_default().to_owned();
                offer.types.push((name, may("read"), may("search-type"), exports(&resource)));
            }
        }
        offer
    }

    fn of_type(&self, name: &str) -> Option<&(String, bool, bool, bool)> {
        self.types.iter().find(|(found, ..)| found == name)
    }

    /// The types this site wants that the statement does not list, as a run sees it.
    pub(super) fn unlisted(&self, settings: &EhrSettings) -> Vec<String> {
        if settings.ask_unlisted || self.types.is_empty() {
            return Vec::new();
        }
        settings.types.iter().filter(|name| self.of_type(name).is_none()).cloned().collect()
    }

    /// Whether a resource of this type can be read by its id.
    pub(super) fn reads(&self, name: &str) -> bool {
        !self.said || self.of_type(name).is_some_and(|found| found.1)
    }

    /// Whether this type can be searched.
    pub(super) fn searches(&self, name: &str) -> bool {
        !self.said || self.of_type(name).is_some_and(|found| found.2)
    }

    fn exports(&self, level: &Level) -> bool {
        match level {
            Level::System => self.system_export,
            Level::Patient => self.of_type("Patient").is_some_and(|found| found.3),
            Level::Group(_) => self.of_type("Group").is_some_and(|found| found.3),
        }
    }
}

/// What is said at `[base]/metadata`. The offer is empty when nothing usable was said.
pub(super) async fn examine(answer: Answer, at: &Url) -> (Finding, Offer) {
    let base = "`ehr.base`";
    let finding = match answer.status {
        200 => {
            let statement = answer.json().await;
            return match version(&statement) {
                Some(version) => (version, Offer::of(&statement)),
                None => {
                    let finding = Finding::fail(
                        "fhir.not-fhir",
                        "something answers there, but it is no FHIR server: perhaps a portal, or the page of a proxy",
                        Mender::You,
                        format!("check the path in {base}; ask the EHR's team for the FHIR R4 base address"),
                    );
                    (finding, Offer::default())
                }
            };
        }
        301 | 302 | 303 | 307 | 308 => {
            let to = answer
                .leads_to(at)
                .map_or("another address".to_owned(), |origin| origin.to_string());
            Finding::fail(
                "fhir.redirects",
                format!("the address sends us on to {to}; patients' data are not asked for at an address that moves"),
                Mender::You,
                format!("ask the EHR's team for the final address and write it to {base}"),
            )
        }
        401 | 403 => Finding::warn(
            "fhir.guarded",
            "the server shows its CapabilityStatement only to those who are signed in, so what it offers is not known yet",
            Mender::EhrTeam,
            "nothing, if the other steps are well",
        ),
        404 | 410 => Finding::fail(
            "fhir.not-found",
            "the server is there, but not a FHIR server at this path (404)",
            Mender::You,
            format!("check the path in {base}; it ends before `/metadata`, often in `/R4` or `/api/FHIR/R4`"),
        ),
        status @ (429 | 500..) => Finding::fail(
            "fhir.unavailable",
            format!("the FHIR server answers {status}"),
            Mender::EhrTeam,
            "try again later; if it stays, tell the EHR's team",
        )
        .for_now(),
        status => Finding::fail(
            "fhir.odd",
            format!("the FHIR server answers {status} to a request for its CapabilityStatement"),
            Mender::EhrTeam,
            format!("check {base}, and ask the EHR's team to look at the server's log"),
        ),
    };
    (finding, Offer::default())
}

fn version(statement: &Value) -> Option<Finding> {
    if statement["resourceType"] != "CapabilityStatement" {
        return None;
    }
    let version = statement["fhirVersion"].as_str().unwrap_or_default();
    // Only what looks like a version is shown.
    let shown: String = version.chars().filter(|c| c.is_ascii_digit() || *c == '.').take(8).collect();
    Some(if version.starts_with("4.0") {
        Finding::ok("fhir.ok", format!("a FHIR server of version {shown} (R4)"))
    } else if version.starts_with("4.") {
        Finding::warn(
            "fhir.r4b",
            format!("a FHIR server of version {shown}, which is close to R4 but not R4 (4.0.1)"),
            Mender::EhrTeam,
            "ask the EHR's team whether there is an R4 base address",
        )
    } else {
        Finding::fail(
            "fhir.wrong-version",
            format!("the server speaks FHIR {shown}, and this gateway reads R4 (4.0.1)"),
            Mender::You,
            "ask the EHR's team for the R4 base address; most EHRs have one beside the older one",
        )
    })
}

/// Whether the way this site asks is offered, and at its level.
pub(super) fn way(settings: &EhrSettings, offer: &Offer) -> Finding {
    let level = level_name(&settings.level);
    if !offer.said {
        return Finding::skipped("offer.unknown", "there is no CapabilityStatement to go by");
    }
    let exports = offer.exports(&settings.level);
    let vendor_exports = settings.vendor.export_levels.iter().any(|known| known == level);
    let unsearched: Vec<&str> = settings
        .types
        .iter()
        .map(String::as_str)
        .filter(|name| !offer.searches(name))
        .collect();
    let searches = unsearched.len() < settings.types.len();
    let export_next = "ask the EHR's team to switch bulk export on for this client, or choose another `level` or `method` in [ehr]";
    match settings.method {
        Method::Bulk if !vendor_exports => Finding::fail(
            "offer.level",
            format!(
                "{} exports at the levels {}, not at the level {level}",
                settings.vendor.title,
                settings.vendor.export_levels.join(", ")
            ),
            Mender::You,
            "set `level` in [ehr] to one of those; for a Group, ask the EHR's team for its id",
        ),
        // Many servers export without saying so: a warning, no more.
        Method::Bulk if !exports => Finding::warn(
            "offer.no-export",
            format!("the server does not say that it exports at the level {level}"),
            Mender::EhrTeam,
            export_next,
        ),
        Method::Search | Method::Everything if !searches => Finding::fail(
            "offer.no-search",
            "the server says of no type this site needs that it can be searched",
            Mender::EhrTeam,
            "set method = \"bulk\" in [ehr] if it exports; else ask the EHR's team for search",
        ),
        Method::Planned if !exports && !searches => Finding::fail(
            "offer.nothing",
            "the server says neither that it exports nor that it can be searched for what this site needs",
            Mender::EhrTeam,
            export_next,
        ),
        _ => {
            let ways = match (exports, searches) {
                (true, true) => "export and search",
                (true, false) => "export",
                _ => "search",
            };
            Finding::ok("offer.ok", format!("the server offers {ways}"))
        }
    }
}

/// Whether the server offers every type this site wants; `unlisted` are those that it does not list.
pub(super) fn types(settings: &EhrSettings, unlisted: &[String], feeds: &Feeds) -> Finding {
    let next =
        "ask the EHR's team whether it has them; if it does, let the CapabilityStatement list them, or set ask_unlisted = true in [ehr]";
    if unlisted.iter().any(|name| name == "Patient") {
        let means = "the server's CapabilityStatement lists types, and Patient is none of them: a run is refused";
        return Finding::fail("types.no-patient", means, Mender::EhrTeam, next);
    }
    if !unlisted.is_empty() && unlisted.len() == settings.types.len() {
        let means = "the server's CapabilityStatement lists none of the types this site wants: a run is refused";
        return Finding::fail("types.none", means, Mender::EhrTeam, next);
    }
    if unlisted.is_empty() {
        return Finding::ok("types.ok", "the server does not leave out any type this site wants");
    }
    let without = feeds.empty_without(unlisted);
    let mut tables: Vec<&str> = without.values().flatten().map(String::as_str).collect();
    tables.sort_unstable();
    tables.dedup();
    let empty = if tables.is_empty() {
        "no table stays empty for it".to_owned()
    } else {
        format!("these tables stay empty for it: {}", tables.join(", "))
    };
    Finding::warn(
        "types.not-offered",
        format!(
            "the server does not offer {}, so a run does not ask for it; {empty}",
            unlisted.join(", ")
        ),
        Mender::EhrTeam,
        format!("nothing, if it has none of these; else {next}"),
    )
}

/// The level's name, as it stands in the site's file.
pub(super) fn level_name(level: &Level) -> &'static str {
    match level {
        Level::System => "system",
        Level::Patient => "patient",
        Level::Group(_) => "group",
    }
}

/// Where a token endpoint stands, for a person.
pub(super) fn shown(url: &Url) -> String {
    WebOrigin::of(url).to_string()
}
