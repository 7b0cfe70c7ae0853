//! The operators' pages, over HTTP and in a browser: what they show is what the database holds.

mod night;
mod visit;

use std::time::Duration;

use headwater::platform::http::Client;
use headwater::receive::read;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Response, StatusCode};

use crate::world::{Site, World, labs, plain, tally};

use visit::Visit;

const DAY: Duration = Duration::from_secs(86_400);

/// Three sites: one that submits every night, one that stopped nine days ago, one that never enrolled.
async fn busy() -> (World, Site) {
    let world = World::start().await;
    let mut lakeside = world.enrol("lakeside").await;
    let mut northport = world.enrol("northport").await;
    let history = northport.package(
        &[plain("patient", "patient_key", 1210), labs(400, 0, 0)],
        &[("Patient", tally(1210, 0, 0)), ("Observation", tally(400, 1200, 0))],
    );
    northport.deliver(&history).await.unwrap();
    world.registry.records().add_site("pinewood").unwrap();
    let first = lakeside.package(
        &[
            plain("patient", "patient_key", 480),
            plain("visit", "visit_key", 2310),
            labs(9120, 37, 0),
            plain("medication_course", "course_key", 760),
        ],
        &[
            ("Patient", tally(480, 0, 3)),
            ("Encounter", tally(2310, 212, 0)),
            ("Observation", tally(9157, 12_480, 19)),
            ("MedicationRequest", tally(760, 41, 5)),
        ],
    );
    lakeside.deliver(&first).await.unwrap();
    for night in 1..=8 {
        world.clock.advance(DAY);
        let next = lakeside.package(
            &[labs(100 + 37 * night, night % 3, 4)],
            &[("Observation", tally(104 + 37 * night as u64, 55, night as u64 % 2))],
        );
        lakeside.deliver(&next).await.unwrap();
    }
    world.clock.advance(DAY);
    lakeside.policy = "own-policy";
    let refused = lakeside.package(&[labs(5, 0, 0)], &[("Observation", tally(5, 0, 0))]);
    lakeside.deliver(&refused).await.unwrap_err();
    lakeside.policy = "safe-harbor";
    let last = lakeside.package(
        &[labs(512, 6, 11), plain("visit", "visit_key", 40)],
        &[("Encounter", tally(40, 3, 0)), ("Observation", tally(529, 301, 2))],
    );
    lakeside.deliver(&last).await.unwrap();
    world.clock.advance(Duration::from_secs(5 * 3600));
    (world, lakeside)
}

fn submissions(world: &World, site: &str) -> Vec<read::Submission> {
    world
        .registry
        .store()
        .read(|connection| read::submissions(connection, site, 100))
        .unwrap()
}

async fn post(http: &Client, url: &str, form: &[(&str, &str)]) -> Response {
    http.post(url).form(form).send().await.unwrap()
}

/// The session cookie, `name=value`, of an answer.
fn cookie(response: &Response) -> String {
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

async fn get(world: &World, cookie: &str, path: &str) -> (StatusCode, String) {
    let response = world
        .http
        .get(format!("{}{path}", world.base))
        .header(COOKIE, cookie)
        .send()
        .await
        .unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn nobody_sees_a_page_without_signing_in_and_everything_is_sealed_by_headers() {
    let world = World::start().await;
    let front = world.http.get(&world.base).send().await.unwrap();
    assert_eq!(front.headers()[LOCATION], "/console");
    for path in [
        "/console",
        "/console/sites/x",
        "/console/submissions/x",
        "/console/submissions/x/receipt",
        "/console/log",
    ] {
        for session in ["", "headwater=", "headwater=0000"] {
            let request = world.http.get(format!("{}{path}", world.base)).header(COOKIE, session);
            let response = request.send().await.unwrap();
            assert_eq!(
                (response.status(), response.headers()[LOCATION].to_str().unwrap()),
                (StatusCode::SEE_OTHER, "/sign-in"),
                "{path}"
            );
        }
    }
    let response = world.http.get(format!("{}/sign-in", world.base)).send().await.unwrap();
    for (name, part) in [
        ("content-security-policy", "default-src 'none'"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert!(response.headers()[name].to_str().unwrap().contains(part), "{name}");
    }
    assert!(!response.text().await.unwrap().contains("<script"));
}

#[tokio::test]
async fn a_link_signs_in_once_by_its_button_and_looking_at_it_does_not_use_it_up() {
    let world = World::start().await;
    let given = world.registry.records().add_operator("ann").unwrap();
    let link = format!("{}/sign-in?code={}", world.base, given.code);
    for _ in 0..2 {
        let page = world.http.get(&link).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("This link signs you in once"), "{page}");
    }
    let sign_in = format!("{}/sign-in", world.base);
    let session = cookie(&post(&world.http, &sign_in, &[("code", &given.code)]).await);
    assert_eq!(get(&world, &session, "/console").await.0, StatusCode::OK);
    assert_eq!(
        post(&world.http, &sign_in, &[("code", &given.code)]).await.status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_key_signs_in_under_its_own_name_only_and_guessing_ends() {
    let world = World::start().await;
    let ann = world.registry.records().add_operator("ann").unwrap();
    world.registry.records().add_operator("bob").unwrap();
    let sign_in = format!("{}/sign-in", world.base);
    let try_in = |operator: &'static str, key: String| {
        let (http, url) = (world.http.clone(), sign_in.clone());
        async move { post(&http, &url, &[("operator", operator), ("key", &key)]).await.status() }
    };
    assert_eq!(try_in("bob", ann.key.clone()).await, StatusCode::FORBIDDEN);
    assert_eq!(try_in("ann", ann.key.clone()).await, StatusCode::SEE_OTHER);
    for _ in 0..9 {
        assert_eq!(try_in("bob", "guess".into()).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(try_in("bob", "guess".into()).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(try_in("ann", ann.key.clone()).await, StatusCode::SEE_OTHER);
    let foreign = world
        .http
        .post(&sign_in)
        .header("sec-fetch-site", "cross-site")
        .form(&[("operator", "ann"), ("key", &ann.key)]);
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn signing_out_needs_the_forms_token_and_ends_the_session() {
    let world = World::start().await;
    let given = world.registry.records().add_operator("ann").unwrap();
    let session = cookie(&post(&world.http, &format!("{}/sign-in", world.base), &[("code", &given.code)]).await);
    let page = get(&world, &session, "/console").await.1;
    let token = page
        .split("name=\"token\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let leave = |token: String| {
        let request = world.http.post(format!("{}/sign-out", world.base)).header(COOKIE, &session);
        async move { request.form(&[("token", token)]).send().await.unwrap().status() }
    };
    assert_eq!(leave("0".repeat(64)).await, StatusCode::FORBIDDEN);
    assert_eq!(get(&world, &session, "/console").await.0, StatusCode::OK);
    assert_eq!(leave(token).await, StatusCode::SEE_OTHER);
    assert_eq!(get(&world, &session, "/console").await.0, StatusCode::SEE_OTHER);
    let again = world.registry.records().add_operator("ann").unwrap();
    let session = cookie(&post(&world.http, &format!("{}/sign-in", world.base), &[("code", &again.code)]).await);
    world.clock.advance(DAY);
    assert_eq!(
        get(&world, &session, "/console").await.0,
        StatusCode::SEE_OTHER,
        "a session ends by itself"
    );
}

#[tokio::test]
async fn what_is_not_there_is_said_to_a_person_and_names_are_escaped() {
    let world = World::start().await;
    let given = world.registry.records().add_operator("ann").unwrap();
    let session = cookie(&post(&world.http, &format!("{}/sign-in", world.base), &[("code", &given.code)]).await);
    for path in [
        "/console/sites/nowhere",
        "/console/submissions/%3Cb%3E",
        "/console/sites/%3Cscript%3E",
    ] {
        let (status, page) = get(&world, &session, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(page.contains("There is nothing at this address") && !page.contains("<script") && !page.contains("<b>"));
    }
    let (_, empty) = get(&world, &session, "/console").await;
    assert!(
        empty.contains("headwater registry site add NAME"),
        "an empty page says what to do next"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_finds_the_databases_numbers_on_every_page_and_nothing_to_complain_of() {
    let (world, _) = busy().await;
    let given = world.registry.records().add_operator("ann").unwrap();
    let Some(visit) = Visit::start(&world.http, &world.base).await else {
        return;
    };
    let browser = &visit.browser;

    visit.open("/console", "sign-in").await;
    assert!(browser.url().await.ends_with("/sign-in"));
    browser.type_into("input[name=operator]", "ann").await;
    browser.type_into("input[name=key]", &given.key).await;
    browser.click("main button").await;
    browser.one("[data-site=lakeside]").await;
    assert!(browser.url().await.ends_with("/console"), "{}", browser.url().await);

    visit.open("/console", "overview").await;
    let sites = world.registry.store().read(read::overview).unwrap();
    let sum = |of: fn(&read::SiteOverview) -> u64| sites.iter().map(of).sum::<u64>();
    visit
        .numbers(
            "main",
            &[
                ("sites", 3),
                ("sites-fresh", 1),
                ("submissions-accepted", sum(|site| site.submissions)),
                ("submissions-refused", 1),
                ("rows", sum(|site| site.rows)),
                ("rows-by-table", sum(|site| site.rows)),
            ],
        )
        .await;
    for (site, freshness) in [("lakeside", "fresh"), ("northport", "silent"), ("pinewood", "waiting")] {
        assert_eq!(browser.text(&format!("[data-site={site}] [data-freshness]")).await, freshness);
    }

    browser.click("[data-site=lakeside] th a").await;
    browser.one("#submissions").await;
    assert!(browser.url().await.ends_with("/console/sites/lakeside"));
    visit.open("/console/sites/northport", "site-silent").await;
    visit.open("/console/sites/pinewood", "site-empty").await;
    visit.open("/console/sites/lakeside", "site").await;
    let all = submissions(&world, "lakeside");
    assert_eq!(browser.find("[data-submission]").await.len(), all.len());
    for one in &all {
        let line = format!("[data-submission=\"{}\"]", one.id);
        visit
            .numbers(
                &line,
                &[
                    ("pulled", one.pulled),
                    ("mapped", one.mapped),
                    ("excluded", one.excluded),
                    ("refused", one.refused),
                    ("released", one.released),
                    ("accepted", one.accepted),
                    ("rejected", one.rejected),
                ],
            )
            .await;
    }

    let first = all.iter().find(|one| one.sequence == 1).unwrap();
    let path = format!("/console/submissions/{}", first.id);
    visit.open(&path, "submission").await;
    assert_eq!((first.released, first.accepted, first.rejected), (12_707, 12_670, 37));
    let numbers = [
        ("pulled", first.pulled),
        ("mapped", first.mapped),
        ("excluded", first.excluded),
        ("refused", first.refused),
        ("released", first.released),
        ("accepted", first.accepted),
        ("rejected", first.rejected),
        ("upserts", first.upserts),
        ("tombstones", first.tombstones),
        ("leaf", first.leaf_index.unwrap()),
    ];
    visit.numbers("main", &numbers).await;
    assert_eq!(browser.attribute("[data-balanced]", "data-balanced").await, "yes");
    let source = get_signed_in(&world, &given.key, &path).await;
    assert!(source.contains("Of 25,467 resources:"), "the chart says its sum");
    assert_eq!(
        browser.text("[data-receipt]").await.trim(),
        first.receipt.as_deref().unwrap().trim()
    );
    assert_eq!(browser.find("[data-reason=enum]").await.len(), 1);

    let refused = all.iter().find(|one| one.state == "refused").unwrap();
    visit
        .open(&format!("/console/submissions/{}", refused.id), "submission-refused")
        .await;
    assert!(browser.text("main").await.contains("policy"));

    visit.open("/console/log", "log").await;
    let size = world.registry.store().read(headwater::audit::size).unwrap();
    visit.numbers("main", &[("log-size", size)]).await;
    assert_eq!(browser.attribute("[data-vkey]", "data-vkey").await, world.registry.log_vkey());
    assert_eq!(browser.find("[data-event=submission-accepted]").await.len(), 11);

    browser.click("header button").await;
    browser.one("input[name=operator]").await;
    assert!(
        browser.url().await.ends_with("/sign-in"),
        "{}: {}",
        browser.url().await,
        browser.text("body").await
    );
    browser.go(&format!("{}/console/log", world.base)).await;
    assert!(browser.url().await.ends_with("/sign-in"), "signed out");
    visit.browser.quit().await;
}

async fn get_signed_in(world: &World, key: &str, path: &str) -> String {
    let session = cookie(
        &post(
            &world.http,
            &format!("{}/sign-in", world.base),
            &[("operator", "ann"), ("key", key)],
        )
        .await,
    );
    get(world, &session, path).await.1
}
