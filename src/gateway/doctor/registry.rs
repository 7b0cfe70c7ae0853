//! The other end: whether the registry is reached, knows this site, and has rows that were made with the master key here.

use std::time::Duration;

use super::Enrolment;
use super::finding::{Finding, Mender};
use crate::platform::backend_services::{TokenError, TokenSource, discover};
use crate::platform::clock::Clock;
use crate::platform::http::{Client, Url, WebOrigin};
use crate::submission::SCOPE;
use crate::submit::{self, LinkSettings, RegistryLink, SubmitError};

/// Signs in at the registry, and asks it for nothing.
pub(super) async fn examine(client: &Client, clock: &Clock, at: &Enrolment) -> Finding {
    let Ok(base) = Url::parse(&at.base) else {
        return Finding::fail(
            "registry.address",
            "`registry.base` is no address",
            Mender::You,
            "write it as `https://host`",
        );
    };
    let origin = WebOrigin::of(&base);
    let signed_in = async {
        let found = discover(client, &base).await?;
        let tokens = TokenSource::new(
            client.clone(),
            clock.clone(),
            &at.client_id,
            &at.key,
            found.token_endpoint,
            SCOPE,
            std::slice::from_ref(&origin),
        )?;
        tokens.token().await
    };
    match signed_in.await {
        Ok(_) => Finding::ok("registry.ok", format!("the registry at {origin} knows this site")),
        Err(error) if error.is_transient() => Finding::fail(
            "registry.unreachable",
            format!("the registry at {origin} is not reached: {error}"),
            Mender::HospitalNetwork,
            "try again later; if it stays, ask the network team to let this machine reach it, or the registry's operator whether it runs",
        )
        .for_now(),
        Err(TokenError::Refused { .. }) => Finding::fail(
            "registry.not-enrolled",
            format!("the registry at {origin} does not know this site with this key"),
            Mender::RegistryOperator,
            "ask the registry's operator whether the site is suspended; if it was enrolled anew elsewhere, ask for a code and enrol again",
        ),
        Err(_) => Finding::fail(
            "registry.wrong-address",
            format!("what answers at {origin} is no registry"),
            Mender::You,
            "compare `registry.base` with the address the registry's operator gave you",
        ),
    }
}

/// Asks where this site stands there, as the first run of a ledger does, and compares the key its rows were made with.
pub(super) async fn rows(client: &Client, clock: &Clock, at: &Enrolment) -> Finding {
    let settings = LinkSettings {
        base: at.base.clone(),
        site: at.site.clone(),
        client_id: at.client_id.clone(),
        longest_wait: Duration::ZERO,
    };
    let asked = async {
        let link = RegistryLink::new(settings, at.key.clone(), client.clone(), clock.clone())?;
        submit::place(&link).await
    };
    let place = match asked.await {
        Ok(place) => place,
        Err(error) => return untold(&error),
    };
    if place.sequence == 0 || place.key_fingerprint.is_none() {
        return Finding::skipped("registry-rows.none", "the registry tells of no rows of this site yet");
    }
    let Some(here) = at.made_with.first() else {
        return Finding::skipped("registry-rows.no-key", "there is no master key here to compare with");
    };
    match place.other_key(|fingerprint| at.made_with.iter().any(|ours| ours == fingerprint)) {
        None => Finding::ok(
            "registry-rows.ok",
            "the registry's rows of this site were made with the master key here",
        ),
        Some(there) => Finding::fail(
            "registry-rows.other-key",
            format!(
                "the registry holds rows of this site that were made with the master key {there}, and the one here is {here}: \
                 with it every patient would have a second pseudonym"
            ),
            Mender::You,
            "restore that key from its backup (`headwater keys restore`), or set `site.name` and `site.network` back, which it hangs on; \
             a change that is meant is begun afterwards with `headwater keys rotate --master`",
        ),
    }
}

fn untold(error: &SubmitError) -> Finding {
    let means = format!("the registry does not tell which key this site's rows there were made with: {error}");
    let next = "ask the registry's operator what it says of this; a run asks the same before it first sends";
    let finding = Finding::fail("registry-rows.untold", means, Mender::RegistryOperator, next);
    if error.may_be_retried() { finding.for_now() } else { finding }
}
