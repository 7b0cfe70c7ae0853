//! What the token opens: the Group, one read of each type, and, if a person asks for it, an export taken back at once.
//! Only the status of an answer is looked at: its body, which may hold a patient, is never read. From a refused export, which
//! holds none, the name of one of the wanted types is taken.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reqwest::header::{CONTENT_LOCATION, HeaderName};
use serde_json::json;

use super::ask::{self, Answer, Unanswered};
use super::fhir::{Offer, level_name};
use super::finding::{Finding, Mender};
use crate::platform::http::{Client, Url, WebOrigin};
use crate::pull::{EhrSettings, KickOff, Level, Method, type_named};

/// The EHR, asked with a token.
pub(super) struct Reader<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a EhrSettings,
    /// `None`: the server asks nobody who they are.
    pub(super) token: Option<&'a str>,
    pub(super) offer: &'a Offer,
}

impl Reader<'_> {
    fn headers(&self) -> Vec<(HeaderName, String)> {
        let name = self.settings.vendor.client_id_header.as_deref();
        let name = name.and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        name.map(|name| (name, self.settings.client_id.clone())).into_iter().collect()
    }

    async fn get(&self, url: &Url) -> Result<Answer, Unanswered> {
        ask::get(self.client, url, &self.headers(), self.token).await
    }

    /// Whether the Group can be seen.
    pub(super) async fn group(&self) -> Finding {
        let Level::Group(id) = &self.settings.level else {
            return Finding::skipped("group.none", "this site asks for no Group");
        };
        if !self.offer.reads("Group") {
            return Finding::skipped(
                "group.not-readable",
                "the server does not say that a Group can be read; its export will tell",
            );
        }
        let status = match self.get(&ask::below(&self.settings.base, &["Group", id])).await {
            Ok(answer) => answer.status,
            Err(_) => return silent("group.unavailable", "the Group"),
        };
        match status {
            200 => Finding::ok("group.ok", format!("Group `{id}` can be seen")),
            401 | 403 => Finding::warn(
                "group.forbidden",
                format!("this client may not read Group `{id}` itself ({status}); it may still be exported"),
                Mender::EhrTeam,
                "if the export is refused, ask the EHR's team to share the Group with this client, with the scope system/Group.rs",
            ),
            404 | 410 => not_visible(id),
            status => broken("group.unavailable", "the Group", status),
        }
    }

    /// One search of each type for a single resource.
    pub(super) async fn types(&self) -> Finding {
        let types = &self.settings.types;
        let (asked, silent_on): (Vec<&String>, Vec<&String>) = types.iter().partition(|name| self.offer.searches(name));
        if asked.is_empty() {
            return Finding::skipped(
                "reads.no-search",
                "the server does not say that it can be searched; the export will tell",
            );
        }
        let mut by_class: BTreeMap<Class, Vec<&str>> = BTreeMap::new();
        for name in &asked {
            let mut url = ask::below(&self.settings.base, &[name.as_str()]);
            let more = self.settings.vendor.search_parameters.get(name.as_str());
            url.set_query(Some(&more.map_or("_count=1".to_owned(), |more| format!("{more}&_count=1"))));
            let class = match self.get(&url).await {
                Ok(answer) => Class::of(answer.status),
                Err(_) => Class::Broken,
            };
            by_class.entry(class).or_default().push(name.as_str());
            // The others would give the same answer, and this one says it all.
            if class == Class::Unauthorized {
                break;
            }
        }
        let named = |class| by_class.get(&class).map(|names| names.join(", "));
        if by_class.contains_key(&Class::Unauthorized) {
            return Finding::fail(
                "reads.token-refused",
                "the FHIR server does not take the token that its own token endpoint gave",
                Mender::EhrTeam,
                "tell the EHR's team: token endpoint and FHIR server do not belong together, or their clocks differ",
            );
        }
        if let Some(names) = named(Class::Forbidden) {
            return Finding::fail(
                "reads.forbidden",
                format!("the token is good, but the EHR does not let this client read: {names} (403)"),
                Mender::EhrTeam,
                "ask the EHR's team for the right to read these types; a scope alone is often not enough",
            );
        }
        if let Some(names) = named(Class::Broken) {
            return Finding::fail(
                "reads.unavailable",
                format!("the EHR fails or says nothing when asked for: {names}"),
                Mender::EhrTeam,
                "try again later; if it stays, give the EHR's team these names and this minute",
            )
            .for_now();
        }
        if let Some(names) = named(Class::NotOffered) {
            return Finding::warn(
                "reads.not-offered",
                format!("the EHR does not know how to search: {names}"),
                Mender::EhrTeam,
                "what is missing stays empty at the registry; leave these types out of `types` if that is meant",
            );
        }
        let more = if silent_on.is_empty() {
            String::new()
        } else {
            let names: Vec<&str> = silent_on.iter().map(|name| name.as_str()).collect();
            format!("; it does not say that it can be searched for {}", names.join(", "))
        };
        // A server that wants a patient named in every search has understood and let us in.
        let wants = named(Class::WantsMore).map_or(String::new(), |names| {
            format!("; for {names} it wants a patient named, as is usual")
        });
        Finding::ok("reads.ok", format!("{} may be read{more}{wants}", plural(asked.len())))
    }

    /// An export of what changed this minute, of every type a run asks for, taken back as soon as the server took it.
    pub(super) async fn export(&self, now: Timestamp) -> Finding {
        let settings = self.settings;
        let path: &[&str] = match &settings.level {
            Level::System => &["$export"],
            Level::Patient => &["Patient", "$export"],
            Level::Group(id) => &["Group", id, "$export"],
        };
        let mut url = ask::below(&settings.base, path);
        let exported = settings.types.iter().filter(|name| !settings.vendor.not_exported.contains(name));
        let (kinds, since): (Vec<&str>, _) = (exported.map(String::as_str).collect(), now.to_string());
        let request = if settings.vendor.kick_off == KickOff::Post {
            let kinds = kinds.iter().map(|kind| json!({ "name": "_type", "valueString": kind }));
            let parameters: Vec<_> = kinds.chain([json!({ "name": "_since", "valueInstant": since })]).collect();
            self.client
                .post(url.clone())
                .header("content-type", "application/fhir+json")
                .body(json!({ "resourceType": "Parameters", "parameter": parameters }).to_string())
        } else {
            if !kinds.is_empty() {
                url.query_pairs_mut().append_pair("_type", &kinds.join(","));
            }
            url.query_pairs_mut().append_pair("_since", &since);
            self.client.get(url.clone())
        };
        let request = request.header("prefer", "respond-async");
        let Ok(answer) = ask::send(request, &self.headers(), self.token).await else {
            return silent("export.unavailable", "the export");
        };
        match answer.status {
            202 => {
                self.take_back(&answer, &url).await;
                Finding::ok(
                    "export.ok",
                    format!("the EHR takes an export at the level {}", level_name(&settings.level)),
                )
            }
            401 | 403 => Finding::fail(
                "export.forbidden",
                "this client may sign in, but not export",
                Mender::EhrTeam,
                "ask the EHR's team for the right to export, which many EHRs give apart from the scopes",
            ),
            404 => match &settings.level {
                Level::Group(id) => not_visible(id),
                _ => not_offered(settings, 404),
            },
            status @ (405 | 501) => not_offered(settings, status),
            429 => Finding::warn(
                "export.busy",
                "the EHR takes no export just now; perhaps one of this client is under way",
                Mender::You,
                "ask again when the nightly run is over",
            ),
            status @ (400 | 409 | 422) => match type_named(&answer.body().await, &settings.types) {
                Some(name) => Finding::fail(
                    "export.type-refused",
                    format!("the EHR lists {name} and refuses an export that asks for it ({status})"),
                    Mender::EhrTeam,
                    format!(
                        "ask the EHR's team whether it exports {name}; if not, leave it out of `types` in [ehr], or set method = \"search\""
                    ),
                ),
                None => Finding::warn(
                    "export.parameters",
                    format!("the EHR offers the export, but did not take the one this check asked for ({status})"),
                    Mender::You,
                    "name the vendor in [ehr] (`vendor`), so that it is asked as it likes to be",
                ),
            },
            status => broken("export.unavailable", "the export", status),
        }
    }

    async fn take_back(&self, answer: &Answer, url: &Url) {
        let location = answer.headers.get(CONTENT_LOCATION).and_then(|location| location.to_str().ok());
        let Some(job) = location.and_then(|location| url.join(location).ok()) else {
            return;
        };
        let origin = WebOrigin::of(&job);
        // The token goes to the EHR's own addresses only, whatever its answer says.
        if origin == WebOrigin::of(&self.settings.base) || self.settings.token_origins.contains(&origin) {
            let _ = ask::send(self.client.delete(job), &self.headers(), self.token).await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Fine,
    WantsMore,
    Unauthorized,
    Forbidden,
    NotOffered,
    Broken,
}

impl Class {
    fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Fine,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 | 405 | 410 | 501 => Self::NotOffered,
            400 | 412 | 422 => Self::WantsMore,
            _ => Self::Broken,
        }
    }
}

fn plural(types: usize) -> String {
    if types == 1 {
        "1 type".to_owned()
    } else {
        format!("{types} types")
    }
}

fn not_visible(id: &str) -> Finding {
    Finding::fail(
        "group.not-visible",
        format!("the EHR shows this client no Group `{id}` (404)"),
        Mender::EhrTeam,
        "compare `group` in [ehr] with the id the EHR's team gave you; ask them to share the Group with this client",
    )
}

fn not_offered(settings: &EhrSettings, status: u16) -> Finding {
    let next = if settings.method == Method::Bulk {
        "choose another `level`, or method = \"search\" in [ehr]; or ask the EHR's team to switch the export on"
    } else {
        "nothing, if search is well: this site then searches"
    };
    Finding::fail(
        "export.not-offered",
        format!("the EHR does not export at the level {} ({status})", level_name(&settings.level)),
        Mender::EhrTeam,
        next,
    )
}

fn silent(id: &'static str, what: &str) -> Finding {
    Finding::fail(
        id,
        format!("the EHR says nothing when asked for {what}"),
        Mender::EhrTeam,
        "try again later",
    )
    .for_now()
}

fn broken(id: &'static str, what: &str, status: u16) -> Finding {
    let finding = Finding::fail(
        id,
        format!("the EHR answers {status} when asked for {what}"),
        Mender::EhrTeam,
        "try again later; if it stays, ask the EHR's team to look at the server's log",
    );
    if status == 429 || status >= 500 {
        finding.for_now()
    } else {
        finding
    }
}
