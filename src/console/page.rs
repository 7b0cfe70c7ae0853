//! The frame of every page, and how numbers, times and states are said. Knows no table and no session but its operator's name.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

/// Where in the console a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Sites,
    Log,
}

/// Who looks at the page.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub name: String,
    /// The token that this session's forms carry.
    pub form_token: String,
}

/// A page for a signed-in operator.
pub(super) fn page(title: &str, place: Place, operator: &Operator, body: &Markup) -> Markup {
    let link = |at: Place, href: &str, text: &str| html! { li { a href=(href) aria-current=[(place == at).then_some("page")] { (text) } } };
    frame(
        title,
        None,
        &html! {
            nav aria-label="Console" { ul { (link(Place::Sites, "/console", "Sites")) (link(Place::Log, "/console/log", "Audit log")) } }
            form.who method="post" action="/sign-out" {
                input type="hidden" name="token" value=(operator.form_token);
                span { "Signed in as " strong { (operator.name) } }
                button.quiet { "Sign out" }
            }
        },
        body,
    )
}

/// A page for someone who is not signed in.
pub(super) fn outside(title: &str, body: &Markup) -> Markup {
    frame(title, Some("narrow-page"), &html! {}, body)
}

fn frame(title: &str, class: Option<&str>, bar: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Headwater registry" }
                link rel="stylesheet" href="/console/style.css";
                link rel="icon" href="/console/favicon.svg" type="image/svg+xml";
            }
            body class=[class] {
                a.skip href="#main" { "Skip to the content" }
                header.top { div {
                    a.mark href="/console" { img src="/console/favicon.svg" alt="" width="24" height="24"; "Headwater registry" }
                    (bar)
                } }
                main id="main" { (body) }
                footer { "Headwater " (env!("CARGO_PKG_VERSION")) ". Times are UTC. Rows here are de-identified; they are still health data." }
            }
        }
    }
}

/// A number to be read by people, and found by its name.
pub(super) fn count(name: &str, number: u64) -> Markup {
    html! { data data-count=(name) value=(number) class=[(number == 0).then_some("zero")] { (grouped(number)) } }
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(super) fn plural(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A moment in words and, as a title and for programs, exactly. A text that is no time is shown as it is.
pub(super) fn ago(moment: &str, now: Timestamp) -> Markup {
    html! { time datetime=(moment) title=(moment) { (moment.parse().map_or_else(|_| moment.to_owned(), |at| since(at, now))) } }
}

/// `23 Nov 2026, 06:37`.
pub(super) fn at(moment: &str) -> Markup {
    let text = moment
        .parse::<Timestamp>()
        .map_or_else(|_| moment.to_owned(), |at| at.strftime("%-d %b %Y, %H:%M").to_string());
    html! { time.nowrap datetime=(moment) title=(moment) { (text) } }
}

fn since(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let say = |number: i64, unit: &str| format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" });
    match seconds {
        ..-60 => "in the future".to_owned(),
        -60..60 => "just now".to_owned(),
        60..3600 => say(seconds / 60, "minute"),
        3600..172_800 => say(seconds / 3600, "hour"),
        172_800..5_184_000 => say(seconds / 86_400, "day"),
        _ => say(seconds / 2_592_000, "month"),
    }
}

/// How fresh a site's last accepted submission is, for a site that submits every night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Never,
    Fresh,
    Late,
    Silent,
}

impl Freshness {
    pub(super) fn of(last: Option<&str>, now: Timestamp) -> Self {
        let Some(last) = last.and_then(|last| last.parse::<Timestamp>().ok()) else {
            return Self::Never;
        };
        match (now.as_second() - last.as_second()) / 3600 {
            ..36 => Self::Fresh,
            36..168 => Self::Late,
            _ => Self::Silent,
        }
    }

    pub(super) fn badge(self) -> Markup {
        let (class, word, meaning) = match self {
            Self::Never => ("calm", "waiting", "nothing was accepted yet"),
            Self::Fresh => ("good", "fresh", "accepted within the last 36 hours"),
            Self::Late => ("warn", "late", "nothing accepted for more than 36 hours"),
            Self::Silent => ("bad", "silent", "nothing accepted for more than a week"),
        };
        html! { span.state.(class) data-freshness=(word) title=(meaning) { (word) } }
    }
}

/// The state of a submission.
pub(super) fn state(state: &str, rejected: u64) -> Markup {
    let (class, word) = match state {
        "applied" if rejected == 0 => ("good", "accepted"),
        "applied" => ("warn", "accepted in part"),
        "refused" => ("bad", "refused"),
        _ => ("calm", "being applied"),
    };
    html! { span.state.(class) data-state=(state) { (word) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(plural(1, "row") + &plural(2000, "row"), "1 row2,000 rows");
    }

    #[test]
    fn time_is_said_in_words_that_never_promise_more_than_was() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        for (at, words) in [
            ("2026-03-10T11:59:30Z", "just now"),
            ("2026-03-10T11:59:00Z", "1 minute ago"),
            ("2026-03-10T10:00:01Z", "1 hour ago"),
            ("2026-03-08T12:00:01Z", "47 hours ago"),
            ("2026-03-08T12:00:00Z", "2 days ago"),
            ("2026-01-01T12:00:00Z", "2 months ago"),
            ("2026-03-11T12:00:00Z", "in the future"),
        ] {
            assert_eq!(since(at.parse().unwrap(), now), words, "{at}");
        }
    }

    #[test]
    fn a_site_is_late_after_36_hours_and_silent_after_a_week() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let check = |last, freshness| assert_eq!(Freshness::of(last, now), freshness, "{last:?}");
        check(None, Freshness::Never);
        check(Some("2026-03-09T00:00:01Z"), Freshness::Fresh);
        check(Some("2026-03-09T00:00:00Z"), Freshness::Late);
        check(Some("2026-03-03T12:00:01Z"), Freshness::Late);
        check(Some("2026-03-03T12:00:00Z"), Freshness::Silent);
    }
}
