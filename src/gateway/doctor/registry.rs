//! The other end: whether the registry is reached and knows this site.

use super::finding::{Finding, Mender};
use crate::platform::backend_services::{ClientKey, TokenError, TokenSource, discover};
use crate::platform::clock::Clock;
use crate::platform::http::{Client, Url, WebOrigin};
use crate::submission::SCOPE;

/// Signs in at the registry, and asks it for nothing.
pub(super) async fn examine(client: &Client, clock: &Clock, base: &str, client_id: &str, key: &ClientKey) -> Finding {
    let Ok(base) = Url::parse(base) else {
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
            client_id,
            key,
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
