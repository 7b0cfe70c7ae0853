//! A ward: an EHR of a few resources that answers reads and searches page by page, exports the same, and does as a test's
//! hook says before that. Writes down everything it is asked, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use headwater::platform::http::Url;
use headwater::pull::{EhrSettings, Level, Method, Progress, PullError, Pulled, Request as Ask, Settings, Source};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::Site;

/// Status, body and headers of an answer a hook gives.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Never answers; tells that it was asked.
    pub(super) hang: bool,
}

pub(super) fn said(status: u16, body: impl Into<String>) -> Said {
    Said {
        status,
        body: body.into(),
        headers: Vec::new(),
        hang: false,
    }
}

pub(super) fn outcome(severity: &str, code: &str) -> Value {
    json!({"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, "diagnostics": "Hush Hushson"}]})
}

type Hook = Box<dyn Fn(usize, &str) -> Option<Said> + Send>;

#[derive(Default)]
struct Inner {
    base: String,
    resources: Mutex<Vec<Value>>,
    /// Path and query below the base, and the token.
    seen: Mutex<Vec<(String, Option<String>)>>,
    under_way: Mutex<(usize, usize)>,
    hook: Mutex<Option<Hook>>,
    hanging: Notify,
    includes: Mutex<bool>,
}

#[derive(Clone)]
pub(super) struct Ward(Arc<Inner>);

impl Ward {
    pub(super) async fn of(resources: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Arc::new(Inner {
            base: format!("http://{}/fhir", listener.local_addr().unwrap()),
            resources: Mutex::new(resources),
            ..Inner::default()
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(inner)
    }

    pub(super) fn base(&self) -> Url {
        self.0.base.parse().unwrap()
    }

    /// What is answered instead, by the number of the request (from 0) and `path?query`.
    pub(super) fn hook(&self, hook: impl Fn(usize, &str) -> Option<Said> + Send + 'static) {
        *self.0.hook.lock().unwrap() = Some(Box::new(hook));
    }

    pub(super) fn well(&self) {
        *self.0.hook.lock().unwrap() = None;
    }

    /// Its CapabilityStatement offers `_include`, and it does it.
    pub(super) fn offers_includes(&self) {
        *self.0.includes.lock().unwrap() = true;
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut self.0.resources.lock().unwrap());
    }

    /// `path?query` of everything asked, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.0.seen.lock().unwrap().iter().map(|(what, _)| what.clone()).collect()
    }

    pub(super) fn asked_for(&self, part: &str) -> usize {
        self.asked().iter().filter(|what| what.contains(part)).count()
    }

    pub(super) fn tokens(&self) -> Vec<Option<String>> {
        self.0.seen.lock().unwrap().iter().map(|(_, token)| token.clone()).collect()
    }

    /// Requests at one time, at most.
    pub(super) fn most_at_a_time(&self) -> usize {
        self.0.under_way.lock().unwrap().1
    }

    pub(super) async fn hangs(&self) {
        self.0.hanging.notified().await;
    }

    /// A search of these types, for all patients one by one, two entries a page.
    pub(super) fn settings(&self, types: &[&str]) -> EhrSettings {
        let mut settings = EhrSettings::new(self.base(), "gateway-1");
        settings.types = types.iter().map(|name| (*name).to_owned()).collect();
        settings.method = Method::Search;
        settings.level = Level::Patient;
        settings.vendor.page_size = 2;
        settings
    }
}

impl Site {
    pub(super) async fn ask(&self, settings: &EhrSettings, request: Ask) -> Result<Pulled, PullError> {
        let settings = Settings {
            source: Source::Ehr(settings.clone()),
            limits: self.limits.clone(),
        };
        let listener = |progress: Progress| self.told.lock().unwrap().push(progress);
        let key = self.key.as_ref();
        headwater::pull::pull(&settings, request, &self.landing, &self.http, &self.clock, key, &listener).await
    }

    /// Every landed line of resources, sorted.
    pub(super) fn lines(&self, pulled: &Pulled) -> Vec<String> {
        let landed = self.landed(pulled).into_iter().filter(|(_, kind, _)| *kind == "resources");
        let mut lines: Vec<String> = landed
            .flat_map(|(_, _, content)| content.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines.sort();
        lines
    }

    /// `Type/id` of every landed line of resources, sorted.
    pub(super) fn keys(&self, pulled: &Pulled) -> Vec<String> {
        let key = |line: &String| {
            let resource: Value = serde_json::from_str(line).unwrap();
            format!(
                "{}/{}",
                resource["resourceType"].as_str().unwrap(),
                resource["id"].as_str().unwrap()
            )
        };
        let mut keys: Vec<String> = self.lines(pulled).iter().map(key).collect();
        keys.sort();
        keys
    }

    /// The lines of deletions.
    pub(super) fn deletions(&self, pulled: &Pulled) -> Vec<String> {
        let landed = self.landed(pulled).into_iter().filter(|(_, kind, _)| *kind == "deleted");
        landed.map(|(_, _, content)| content).collect()
    }
}

/// `kind`/`id` with these members beside, changed on 1 February 2026.
pub(super) fn resource(kind: &str, id: &str, members: Value) -> Value {
    let mut resource = json!({"resourceType": kind, "id": id, "meta": {"versionId": "1", "lastUpdated": "2026-02-01T00:00:00Z"}});
    for (name, value) in members.as_object().unwrap() {
        resource[name] = value.clone();
    }
    resource
}

/// `count` patients, each with three Observations, an Encounter at one of two locations, and a MedicationRequest; two
/// practitioners and drugs, one of them of a role.
pub(super) fn patients(count: usize) -> Vec<Value> {
    let mut all = vec![
        resource("Organization", "org", json!({})),
        resource(
            "Location",
            "loc-0",
            json!({"managingOrganization": {"reference": "Organization/org"}}),
        ),
        resource("Location", "loc-1", json!({})),
        resource("Practitioner", "doc-0", json!({})),
        resource("Practitioner", "doc-1", json!({})),
        resource(
            "PractitionerRole",
            "role",
            json!({"practitioner": {"reference": "Practitioner/doc-1"}}),
        ),
        resource("Medication", "drug-0", json!({})),
        resource("Medication", "drug-1", json!({})),
    ];
    for n in 0..count {
        let subject = json!({"reference": format!("Patient/p{n}")});
        all.push(resource(
            "Patient",
            &format!("p{n}"),
            json!({"identifier": [{"system": "urn:mrn", "value": format!("m{n}")}]}),
        ));
        for o in 0..3 {
            all.push(resource("Observation", &format!("o{n}-{o}"), json!({"subject": subject})));
        }
        let doctor = if n % 2 == 0 {
            "Practitioner/doc-0"
        } else {
            "PractitionerRole/role"
        };
        let encounter = json!({"subject": subject, "location": [{"location": {"reference": format!("Location/loc-{}", n % 2)}}],
            "participant": [{"individual": {"reference": doctor}}]});
        all.push(resource("Encounter", &format!("e{n}"), encounter));
        let drug = json!({"reference": format!("Medication/drug-{}", n % 2)});
        all.push(resource(
            "MedicationRequest",
            &format!("r{n}"),
            json!({"subject": subject, "medicationReference": drug}),
        ));
    }
    all
}

pub(super) const ALL: [&str; 9] = [
    "Patient",
    "Observation",
    "Encounter",
    "MedicationRequest",
    "Medication",
    "Practitioner",
    "PractitionerRole",
    "Location",
    "Organization",
];

async fn answer(State(ward): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (uri, headers) = (parts.uri, parts.headers);
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let below = uri
        .path()
        .strip_prefix("/fhir")
        .unwrap_or(uri.path())
        .trim_start_matches('/')
        .to_owned();
    let what = uri.query().map_or(below.clone(), |query| format!("{below}?{query}"));
    let token = headers.get("authorization").map(|token| token.to_str().unwrap().to_owned());
    if below == "token" {
        let token = json!({"access_token": "secret-token", "token_type": "bearer", "expires_in": 300});
        return respond(said(200, token.to_string()));
    }
    let number = {
        let mut seen = ward.seen.lock().unwrap();
        seen.push((what.clone(), token));
        seen.len() - 1
    };
    {
        let mut under_way = ward.under_way.lock().unwrap();
        under_way.0 += 1;
        under_way.1 = under_way.1.max(under_way.0);
    }
    let hooked = ward.hook.lock().unwrap().as_ref().and_then(|hook| hook(number, &what));
    if hooked.as_ref().is_some_and(|said| said.hang) {
        ward.hanging.notify_one();
        std::future::pending::<()>().await;
    }
    tokio::task::yield_now().await;
    let answer = hooked.unwrap_or_else(|| match below.strip_suffix("/_search") {
        Some(kind) => plain(&ward, kind, std::str::from_utf8(&body).unwrap()),
        None => plain(&ward, &below, uri.query().unwrap_or_default()),
    });
    ward.under_way.lock().unwrap().0 -= 1;
    respond(answer)
}

fn respond(said: Said) -> Response {
    let mut response = Response::builder().status(said.status);
    for (name, value) in said.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(said.body)).unwrap()
}

fn plain(ward: &Inner, below: &str, query: &str) -> Said {
    let resources = ward.resources.lock().unwrap().clone();
    let query: Vec<(String, String)> = Url::parse(&format!("x:/?{query}")).unwrap().query_pairs().into_owned().collect();
    let path: Vec<&str> = below.split('/').collect();
    match path[..] {
        [".well-known", "smart-configuration"] => said(200, json!({"token_endpoint": ward.base.replace("/fhir", "/token")}).to_string()),
        ["metadata"] => said(200, capability(ward, &resources).to_string()),
        ["$export"] | ["Patient", "$export"] => Said {
            headers: vec![("content-location", format!("{}/poll", ward.base))],
            ..said(202, "")
        },
        ["poll"] => {
            let kinds: BTreeSet<&str> = resources.iter().filter_map(|one| one["resourceType"].as_str()).collect();
            let output: Vec<Value> = kinds
                .iter()
                .map(|kind| json!({"type": kind, "url": format!("{}/files/{kind}", ward.base)}))
                .collect();
            let time = "2026-03-01T01:59:00Z";
            let manifest = json!({"transactionTime": time, "request": "x", "requiresAccessToken": true, "output": output, "error": []});
            said(200, manifest.to_string())
        }
        ["files", kind] => {
            let lines = resources
                .iter()
                .filter(|one| one["resourceType"] == kind)
                .map(|one| format!("{one}\n"));
            said(200, lines.collect::<String>())
        }
        ["Patient", id, "$everything"] => {
            let own = |one: &&Value| one["id"] == id || is_of(one, id);
            bundle(ward, below, &query, resources.iter().filter(own).cloned().collect(), &resources)
        }
        [kind, id] => {
            let found = resources.iter().find(|one| one["resourceType"] == kind && one["id"] == id);
            found.map_or_else(
                || said(404, outcome("error", "not-found").to_string()),
                |one| said(200, one.to_string()),
            )
        }
        [kind] => {
            let matches = resources.iter().filter(|one| one["resourceType"] == kind);
            let matches = matches.filter(|one| query.iter().all(|(name, value)| holds(one, name, value)));
            bundle(ward, below, &query, matches.cloned().collect(), &resources)
        }
        _ => said(404, ""),
    }
}

fn is_of(one: &Value, id: &str) -> bool {
    let reference = format!("Patient/{id}");
    ["subject", "patient"].iter().any(|name| one[name]["reference"] == reference)
}

fn holds(one: &Value, name: &str, value: &str) -> bool {
    let changed = one["meta"]["lastUpdated"].as_str().unwrap_or_default();
    match name {
        "patient" => is_of(one, value),
        "subject" => is_of(one, value.trim_start_matches("Patient/")),
        "_id" => value.split(',').any(|id| one["id"] == id),
        "identifier" => {
            let (system, value) = value.split_once('|').unwrap();
            let mut identifiers = one["identifier"].as_array().into_iter().flatten();
            identifiers.any(|one| one["system"] == system && one["value"] == value)
        }
        "code" => one["code"]["coding"][0]["code"] == value,
        // All of them are written in UTC and with whole seconds.
        "_lastUpdated" => match value.split_at(2) {
            ("ge", moment) => changed >= moment,
            ("lt", moment) => changed < moment,
            _ => false,
        },
        _ => true,
    }
}

fn bundle(ward: &Inner, below: &str, query: &[(String, String)], matches: Vec<Value>, all: &[Value]) -> Said {
    let of: BTreeMap<&str, &str> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let count: usize = of.get("_count").map_or(100, |count| count.parse().unwrap());
    let offset: usize = of.get("_offset").map_or(0, |offset| offset.parse().unwrap());
    let page: Vec<&Value> = matches.iter().skip(offset).take(count).collect();
    let mut entries: Vec<Value> = page
        .iter()
        .map(|one| json!({"resource": one, "search": {"mode": "match"}}))
        .collect();
    if of.contains_key("_include") {
        let drugs: BTreeSet<&str> = page
            .iter()
            .filter_map(|one| one["medicationReference"]["reference"].as_str())
            .collect();
        let drugs = all
            .iter()
            .filter(|one| drugs.contains(format!("Medication/{}", one["id"].as_str().unwrap()).as_str()));
        let drugs = drugs.filter(|one| one["resourceType"] == "Medication");
        entries.extend(drugs.map(|one| json!({"resource": one, "search": {"mode": "include"}})));
    }
    let mut link = Vec::new();
    if offset + count < matches.len() {
        let mut next = Url::parse(&format!("{}/{below}", ward.base)).unwrap();
        let kept = query.iter().filter(|(name, _)| name != "_offset");
        next.query_pairs_mut()
            .extend_pairs(kept)
            .append_pair("_offset", &(offset + count).to_string());
        link.push(json!({"relation": "next", "url": next.as_str()}));
    }
    said(
        200,
        json!({"resourceType": "Bundle", "type": "searchset", "total": matches.len(), "link": link, "entry": entries}).to_string(),
    )
}

fn capability(ward: &Inner, resources: &[Value]) -> Value {
    let kinds: BTreeSet<&str> = resources.iter().filter_map(|one| one["resourceType"].as_str()).collect();
    let includes = if *ward.includes.lock().unwrap() {
        json!(["MedicationRequest:medication"])
    } else {
        json!([])
    };
    let of_kind =
        |kind: &&str| json!({"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}], "searchInclude": includes});
    let export = json!([{"name": "export", "definition": "x"}]);
    let kinds: Vec<Value> = kinds.iter().map(of_kind).collect();
    json!({"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "operation": export, "resource": kinds}]})
}
