//! The text to paste into the EHR's app registration, or to send to its team: everything they ask for, by the vendor's profile.
//! SMART App Launch 2.2.0, "Registering a client" and "Scopes". Public halves of keys only.

use serde_json::Value;

use crate::platform::backend_services::ClientKey;
use crate::pull::{EhrSettings, Level, Method};

/// What to register, and what to ask for. `set` is the JWK Set.
pub(super) fn text(settings: &EhrSettings, key: &ClientKey, set: &Value) -> String {
    let scopes = |right: &str| {
        let all: Vec<String> = settings.types.iter().map(|name| format!("system/{name}.{right}")).collect();
        all.join(" ")
    };
    let vendor = &settings.vendor;
    let keys = match &settings.jwks_url {
        Some(url) => format!("{url}   (a JWK Set URL; `headwater serve` serves it)"),
        None => set.to_string(),
    };
    let rows = [
        (
            "application",
            "Headwater gateway: a backend service (system app); no user signs in, nothing is written".to_owned(),
        ),
        ("standard", "SMART App Launch 2.2.0, Backend Services".to_owned()),
        ("client type", "confidential, asymmetric".to_owned()),
        ("grant", "client_credentials".to_owned()),
        ("signs in by", format!("private_key_jwt, {}, kid {}", key.algorithm(), key.kid())),
        (
            "client id",
            format!(
                "{}   (if the EHR gives another one, write it to ehr.client_id in site.toml)",
                settings.client_id
            ),
        ),
        (if settings.jwks_url.is_some() { "JWK Set URL" } else { "JWK Set" }, keys),
        ("scopes, v2", scopes("rs")),
        ("scopes, v1", scopes("read")),
        ("access", access(settings)),
    ];
    let mut lines = vec![format!("register at the EHR ({}):", vendor.title)];
    lines.extend(rows.iter().map(|(name, value)| format!("  {name:12} {value}")));
    lines.push("ask the EHR's team for:".to_owned());
    lines.extend(requests(settings).iter().map(|request| format!("  - {request}")));
    lines.join("\n")
}

fn access(settings: &EhrSettings) -> String {
    let whose = match &settings.level {
        Level::Group(id) => format!("the members of Group `{id}`"),
        Level::Patient => "every patient".to_owned(),
        Level::System => "everything".to_owned(),
    };
    let way = match settings.method {
        Method::Bulk => "bulk export ($export)",
        Method::Search => "search of each type by patient",
        Method::Everything => "Patient/$everything",
        Method::Planned => "bulk export ($export) where it is offered, search by patient elsewhere",
    };
    format!("{way}, for {whose}")
}

/// What only the hospital's own people can say or do; from the vendor's quirks.
fn requests(settings: &EhrSettings) -> Vec<String> {
    let vendor = &settings.vendor;
    let mut requests = vec![
        "the client id for production, and the sandbox's, if there is one: they differ".to_owned(),
        "the FHIR R4 base address, and whether it is reached from this machine's network".to_owned(),
        "activation of the app at this hospital, with every scope above".to_owned(),
    ];
    if vendor.jwks_url && settings.jwks_url.is_none() {
        requests.insert(
            0,
            format!(
                "nothing yet: {} takes keys by a JWK Set URL only. Host it first (`headwater serve`), then set `ehr.jwks_url`",
                vendor.title
            ),
        );
    }
    let exports = matches!(settings.method, Method::Bulk | Method::Planned);
    match &settings.level {
        Level::Group(id) => requests.push(format!("the Group `{id}`, visible to this client, by its FHIR id")),
        level if exports && vendor.export_levels == ["group"] && *level != Level::System => {
            requests.push(format!(
                "a Group with the registry's patients: {} exports Groups only; then set `group` in [ehr]",
                vendor.title
            ));
        }
        _ => {}
    }
    if exports && vendor.one_job {
        requests.push("whether another system exports with this client: only one export may run at a time".to_owned());
    }
    let asked = |name: &&String| settings.types.is_empty() || settings.types.contains(name);
    let searched: Vec<&str> = vendor.not_exported.iter().filter(asked).map(String::as_str).collect();
    if !searched.is_empty() && exports {
        requests.push(format!("search of {}, which no export of theirs holds", searched.join(", ")));
    }
    requests.push("the hours in which the EHR should be left alone (`quiet` in [ehr])".to_owned());
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Package;
    use crate::platform::backend_services::Algorithm;
    use crate::platform::http::Url;

    fn of(vendor: &str, jwks_url: Option<&str>) -> String {
        let mut settings = EhrSettings::new(Url::parse("https://ehr.example.org/fhir").unwrap(), "headwater");
        settings.vendor = Package::BuiltIn.vendor(vendor).unwrap();
        settings.types = vec!["Condition".to_owned(), "Patient".to_owned()];
        settings.level = Level::Patient;
        settings.jwks_url = jwks_url.map(|url| Url::parse(url).unwrap());
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        let text = text(&settings, &key, &key.public_jwks());
        assert!(text.contains(key.kid()) && !text.contains("\"d\""), "{text}");
        text
    }

    #[test]
    fn every_word_a_registration_form_asks_for_is_there() {
        let text = of("generic", None);
        for part in [
            "confidential, asymmetric",
            "client_credentials",
            "private_key_jwt, ES384, kid ",
            "system/Condition.rs system/Patient.rs",
            "system/Condition.read system/Patient.read",
            "JWK Set      {\"keys\":[{",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn a_vendor_that_wants_an_address_is_not_given_a_set_in_silence() {
        assert!(of("epic", None).contains("takes keys by a JWK Set URL only"));
        let hosted = of("epic", Some("https://site.example.org/.well-known/jwks.json"));
        assert!(
            hosted.contains("JWK Set URL  https://site.example.org/.well-known/jwks.json"),
            "{hosted}"
        );
        assert!(!hosted.contains("takes keys by a JWK Set URL only"));
        assert!(hosted.contains("exports Groups only"));
    }
}
