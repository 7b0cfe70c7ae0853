//! Who may look: sign-in by operator key or one-time link, the session's cookie, the forms' token.
//! Keys, codes and sessions themselves are `receive::sign_in`'s; here is what a browser sees of them.

use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use rusqlite::Connection;
use serde::Deserialize;

use super::attempts::{ATTEMPTS, LINK_ATTEMPTS};
use super::desk::{Console, Shared, broken};
use super::page::{self, Operator};
use crate::platform::secret;
use crate::receive::{Fault, sign_in as operators};

const WRONG: &str = "Name and key do not belong together, or the link was used or is too old.";

/// A session as its cookie names it.
pub(super) struct Access {
    session: String,
}

impl Access {
    /// The session that these headers' cookie names; whether it is good is for the store to say.
    pub(super) fn of(console: &Console, headers: &HeaderMap) -> Option<Self> {
        let name = cookie_name(console);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split("; ")).filter_map(|pair| pair.split_once('='));
        let session = pairs.find(|(given, _)| *given == name)?.1.to_owned();
        Some(Self { session })
    }

    /// Whose session it is, if it is one and not over.
    pub(super) fn operator(&self, connection: &Connection, now: Timestamp) -> Result<Option<Operator>, rusqlite::Error> {
        let name = operators::operator_of(connection, now, &self.session)?;
        Ok(name.map(|name| Operator {
            name,
            form_token: self.form_token(),
        }))
    }

    /// What this session's forms must carry: bound to the session, and telling nothing about it.
    fn form_token(&self) -> String {
        secret::hex(&secret::sha256(format!("headwater form\n{}", self.session).as_bytes()))
    }
}

/// `__Host-` binds the cookie to this very host, and needs https.
fn cookie_name(console: &Console) -> &'static str {
    if is_https(console) { "__Host-headwater" } else { "headwater" }
}

fn is_https(console: &Console) -> bool {
    console.registry.base().starts_with("https://")
}

fn cookie(console: &Console, session: &str, life: Duration) -> String {
    let secure = if is_https(console) { "; Secure" } else { "" };
    format!(
        "{}={session}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        cookie_name(console),
        life.as_secs()
    )
}

/// Sends a browser without a session to the form.
pub(super) fn ask_to_sign_in() -> Response {
    Redirect::to("/sign-in").into_response()
}

#[derive(Deserialize)]
pub(super) struct Link {
    code: Option<String>,
}

/// The form; with a one-time code in the address, one button. The code is used up by the button, not by looking at the page,
/// so that a mail scanner that opens the link does not use it up.
pub(super) async fn form(Query(link): Query<Link>) -> Markup {
    match link.code {
        Some(code) => page::outside(
            "Sign in",
            &html! {
                h1 { "Sign in" }
                section {
                    p { "This link signs you in once." }
                    form method="post" action="/sign-in" {
                        input type="hidden" name="code" value=(code);
                        button { "Sign in" }
                    }
                }
            },
        ),
        None => page::outside("Sign in", &entry(None)),
    }
}

fn entry(fault: Option<&str>) -> Markup {
    html! {
        h1 { "Sign in" }
        @if let Some(fault) = fault { p.alert role="alert" { (fault) } }
        section {
            form.entry method="post" action="/sign-in" {
                label { "Operator" input name="operator" autocomplete="username" autocapitalize="none" spellcheck="false" required; }
                label { "Operator key" input name="key" type="password" autocomplete="current-password" required; }
                div { button { "Sign in" } }
            }
        }
        p.note { "No key? On the registry's machine, " code { "headwater registry operator add NAME" } " gives a key and a link that signs you in." }
    }
}

#[derive(Deserialize)]
pub(super) struct Given {
    operator: Option<String>,
    key: Option<String>,
    code: Option<String>,
}

/// Signs in with name and key, or with a one-time code.
pub(super) async fn sign_in(State(console): State<Shared>, headers: HeaderMap, Form(given): Form<Given>) -> Response {
    let refuse = |status, fault| (status, page::outside("Sign in", &entry(Some(fault)))).into_response();
    if !is_from_here(&headers) {
        return refuse(StatusCode::FORBIDDEN, "The form came from another site. Sign in here.");
    }
    let (operator, secret) = match given {
        Given { code: Some(code), .. } => (None, code),
        Given {
            operator: Some(operator),
            key: Some(key),
            ..
        } => (Some(operator.trim().to_owned()), key),
        _ => return refuse(StatusCode::BAD_REQUEST, "Give your operator name and your key."),
    };
    let now = console.registry.now();
    let (name, most) = operator
        .as_deref()
        .map_or(("a link", LINK_ATTEMPTS), |operator| (operator, ATTEMPTS));
    if !console.attempts.may(name, now, most) {
        return refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "There were too many attempts. Try again in five minutes.",
        );
    }
    let shared = console.clone();
    let session = tokio::task::spawn_blocking(move || {
        shared.registry.store().write(|tx| {
            let Some(session) = operators::sign_in(tx, &shared.records().log, now, &secret)? else {
                return Ok(None);
            };
            // The name given must be the key's own; else all of it is rolled back, the log's entry with it.
            let owner = operators::operator_of(tx, now, &session)?.unwrap_or_default();
            if operator.is_some_and(|operator| !secret::equal(operator.as_bytes(), owner.as_bytes())) {
                return Err(Fault::Forbidden("the key is another operator's"));
            }
            Ok(Some(session))
        })
    });
    match session.await {
        Ok(Ok(Some(session))) => {
            // The sign-in is an entry of the log: have it published.
            console.registry.wake();
            let cookie = cookie(&console, &session, operators::SESSION_LIFE);
            ([(header::SET_COOKIE, cookie)], Redirect::to("/console")).into_response()
        }
        Ok(Ok(None)) => refuse(StatusCode::FORBIDDEN, WRONG),
        Ok(Err(Fault::Forbidden(_))) => refuse(StatusCode::FORBIDDEN, WRONG),
        Ok(Err(error)) => broken(&error),
        Err(error) => broken(&error),
    }
}

#[derive(Deserialize)]
pub(super) struct Leaving {
    token: String,
}

/// Ends the session.
pub(super) async fn sign_out(State(console): State<Shared>, headers: HeaderMap, Form(leaving): Form<Leaving>) -> Response {
    let Some(access) = Access::of(&console, &headers) else {
        return ask_to_sign_in();
    };
    if !is_from_here(&headers) || !secret::equal(leaving.token.as_bytes(), access.form_token().as_bytes()) {
        return (
            StatusCode::FORBIDDEN,
            page::outside("Sign out", &html! { h1 { "The form came from another site" } }),
        )
            .into_response();
    }
    let shared = console.clone();
    let ended = tokio::task::spawn_blocking(move || shared.registry.store().write(|tx| operators::sign_out(tx, &access.session)));
    match ended.await {
        Ok(Ok(())) => (
            [(header::SET_COOKIE, cookie(&console, "", Duration::ZERO))],
            Redirect::to("/sign-in"),
        )
            .into_response(),
        Ok(Err(error)) => broken(&error),
        Err(error) => broken(&error),
    }
}

/// Whether a form was sent from a page of ours, as far as the browser says. `Origin` is `null` here, because our pages send no
/// referrer, so `Sec-Fetch-Site` says it; a browser too old for it still keeps the Strict cookie and the form's token.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let origin = text("origin").filter(|origin| *origin != "null");
    let host = text("host").unwrap_or_default();
    text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
        && origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, authority)| authority == host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_from_another_site_is_told_by_what_the_browser_says() {
        let check = |headers: &[(&'static str, &'static str)], expected| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(is_from_here(&headers), expected, "{headers:?}");
        };
        check(&[("host", "r.example")], true);
        check(
            &[("host", "r.example"), ("origin", "null"), ("sec-fetch-site", "same-origin")],
            true,
        );
        check(&[("host", "r.example"), ("origin", "https://r.example")], true);
        check(&[("host", "r.example"), ("origin", "https://evil.example")], false);
        check(
            &[("host", "r.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")],
            false,
        );
        check(&[("host", "r.example"), ("sec-fetch-site", "same-site")], false);
    }
}
