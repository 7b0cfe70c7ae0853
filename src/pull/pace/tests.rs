//! The pace under a clock that is moved by hand.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::*;

const START: &str = "2026-03-01T02:00:00Z";

fn pace(change: impl FnOnce(&mut Limits)) -> (Pace, Clock, WebOrigin) {
    let clock = Clock::manual(START.parse().unwrap());
    let mut limits = Limits {
        concurrency: 16,
        ..Limits::default()
    };
    change(&mut limits);
    let pace = Pace::new(&clock, &limits, usize::MAX);
    (pace, clock, WebOrigin::parse("https://ehr.example.org").unwrap())
}

fn places(pace: &Pace, origin: &WebOrigin) -> usize {
    pace.host(origin).state().places
}

async fn ask(pace: &Pace, origin: &WebOrigin, status: u16, wait: Option<u64>) {
    let permit = pace.enter(origin, Pause::Kept).await.unwrap();
    permit.answered(status, wait.map(Duration::from_secs));
}

#[tokio::test]
async fn each_round_of_good_answers_is_worth_one_more_up_to_the_most() {
    let (pace, _, origin) = pace(|limits| limits.concurrency = 5);
    let mut seen = vec![places(&pace, &origin)];
    for _ in 0..40 {
        ask(&pace, &origin, 200, None).await;
        if seen.last() != Some(&places(&pace, &origin)) {
            seen.push(places(&pace, &origin));
        }
    }
    assert_eq!(seen, [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_burst_of_refusals_halves_once_and_the_next_halves_again() {
    let (pace, _, origin) = pace(|_| ());
    for _ in 0..200 {
        ask(&pace, &origin, 200, None).await;
    }
    assert_eq!(places(&pace, &origin), 16);
    let mut burst = Vec::new();
    for _ in 0..10 {
        burst.push(pace.enter(&origin, Pause::Kept).await.unwrap());
    }
    for permit in burst {
        permit.answered(429, None);
    }
    assert_eq!(places(&pace, &origin), 8, "ten at once are one sign");
    ask(&pace, &origin, 503, None).await;
    assert_eq!(places(&pace, &origin), 4);
    pace.enter(&origin, Pause::Kept).await.unwrap().timed_out();
    assert_eq!(places(&pace, &origin), 2);
    for _ in 0..3 {
        ask(&pace, &origin, 504, None).await;
    }
    assert_eq!(places(&pace, &origin), 1, "never none");
    ask(&pace, &origin, 500, None).await;
    assert_eq!(places(&pace, &origin), 1, "a plain error is no sign either way");
    ask(&pace, &origin, 200, None).await;
    assert_eq!(places(&pace, &origin), 2);
}

#[tokio::test]
async fn an_answer_much_slower_than_usual_halves_and_a_usual_one_does_not() {
    let (pace, clock, origin) = pace(|_| ());
    let after = async |seconds: u64| {
        let permit = pace.enter(&origin, Pause::Kept).await.unwrap();
        clock.advance(Duration::from_secs(seconds));
        permit.answered(200, None);
    };
    for _ in 0..60 {
        after(1).await;
    }
    let before = places(&pace, &origin);
    after(3).await;
    assert!(places(&pace, &origin) >= before, "three times the usual is still usual");
    after(12).await;
    assert_eq!(places(&pace, &origin), before / 2);
}

#[tokio::test]
async fn a_pause_holds_everyone_at_the_host_and_nobody_elsewhere() {
    let (pace, clock, origin) = pace(|_| ());
    ask(&pace, &origin, 429, Some(600)).await;
    let other = WebOrigin::parse("https://files.example.org").unwrap();
    drop(pace.enter(&other, Pause::Kept).await.unwrap());
    drop(pace.enter(&origin, Pause::Ignored).await.unwrap());
    assert_eq!(clock.now().to_string(), START);
    let ten = (0..10).map(|_| ask(&pace, &origin, 200, None));
    futures_util::future::join_all(ten).await;
    assert_eq!(clock.now().to_string(), "2026-03-01T02:10:00Z", "ten waited the same ten minutes");
    ask(&pace, &origin, 503, Some(u64::MAX)).await;
    drop(pace.enter(&origin, Pause::Kept).await.unwrap());
    assert_eq!(
        clock.now().to_string(),
        "2026-03-01T03:10:00Z",
        "an hour is the longest, whatever it asks"
    );
}

#[tokio::test]
async fn a_jump_of_the_clock_makes_no_pause_longer() {
    let (pace, clock, origin) = pace(|_| ());
    ask(&pace, &origin, 429, Some(60)).await;
    clock.set("2016-03-01T02:00:00Z".parse().unwrap());
    ask(&pace, &origin, 200, None).await;
    assert_eq!(clock.now().to_string(), "2016-03-01T02:01:00Z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thirty_two_tasks_never_more_are_in_than_there_are_places_and_all_get_in() {
    let (pace, clock, origin) = pace(|limits| limits.concurrency = 5);
    let (inside, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let task = async || {
        for turn in 0..20 {
            let permit = pace.enter(&origin, Pause::Kept).await.unwrap();
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            permit.answered(if turn == 7 { 429 } else { 200 }, None);
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    futures_util::future::join_all((0..32).map(|_| task())).await;
    assert_eq!(done.load(Ordering::SeqCst), 640);
    let most = most.load(Ordering::SeqCst);
    assert!((2..=5).contains(&most), "{most} at a time");
    assert_eq!(clock.now().to_string(), START, "nobody waited for time");
}

fn hours(from: &str, to: &str, zone: TimeZone) -> QuietHours {
    let time = |text: &str| text.parse::<Time>().unwrap();
    QuietHours {
        from: time(from),
        to: time(to),
        zone,
    }
}

#[test]
fn quiet_hours_end_at_their_end_in_the_hospitals_zone() {
    let berlin = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let check = |from: &str, to: &str, now: &str, expected: Option<&str>| {
        let end = quiet_until(&hours(from, to, berlin()), now.parse().unwrap());
        assert_eq!(end.map(|end| end.to_string()).as_deref(), expected, "{from} to {to} at {now}");
    };
    check("07:00", "19:00", "2026-01-15T06:00:00Z", Some("2026-01-15T18:00:00Z"));
    check("07:00", "19:00", "2026-07-15T05:00:00Z", Some("2026-07-15T17:00:00Z"));
    check("07:00", "19:00", "2026-07-15T04:59:59Z", None);
    check("07:00", "19:00", "2026-07-15T17:00:00Z", None);
    check("22:00", "06:00", "2026-01-15T23:00:00Z", Some("2026-01-16T05:00:00Z"));
    check("22:00", "06:00", "2026-01-16T04:00:00Z", Some("2026-01-16T05:00:00Z"));
    check("22:00", "06:00", "2026-01-16T12:00:00Z", None);
    check("06:00", "06:00", "2026-01-16T05:30:00Z", None);
    // 02:00 to 03:00 is left out on 29 March 2026, and comes twice on 25 October.
    check("01:00", "02:30", "2026-03-29T00:30:00Z", Some("2026-03-29T01:30:00Z"));
    check("01:00", "02:30", "2026-10-25T00:15:00Z", Some("2026-10-25T01:30:00Z"));
    check("01:00", "02:30", "2026-10-25T01:15:00Z", Some("2026-10-25T01:30:00Z"));
    check("22:00", "06:00", "2024-02-28T22:00:00Z", Some("2024-02-29T05:00:00Z"));
}

#[tokio::test]
async fn a_request_waits_for_quiet_hours_to_end_or_says_when_they_do() {
    let quiet = || vec![hours("01:00", "04:00", TimeZone::UTC), hours("04:00", "05:30", TimeZone::UTC)];
    let (patient, clock, origin) = pace(|limits| limits.quiet = quiet());
    drop(patient.enter(&origin, Pause::Kept).await.unwrap());
    assert_eq!(clock.now().to_string(), "2026-03-01T05:30:00Z", "one after the other");
    for change in [
        (|limits: &mut Limits| limits.patience = Duration::from_secs(3600)) as fn(&mut Limits),
        |limits| limits.deadline = Some("2026-03-01T03:30:00Z".parse().unwrap()),
    ] {
        let (pace, clock, origin) = pace(|limits| {
            limits.quiet = quiet();
            change(limits);
        });
        let error = pace.enter(&origin, Pause::Kept).await.unwrap_err();
        assert!(
            error.is_transient() && error.to_string().contains("2026-03-01T04:00:00Z"),
            "{error}"
        );
        assert_eq!(clock.now().to_string(), START, "it did not wait in vain");
    }
}

#[tokio::test]
async fn no_request_begins_after_the_deadline() {
    let (pace, clock, origin) = pace(|limits| limits.deadline = Some("2026-03-01T05:00:00Z".parse().unwrap()));
    clock.advance(Duration::from_secs(3 * 3600 - 1));
    drop(pace.enter(&origin, Pause::Kept).await.unwrap());
    clock.advance(Duration::from_secs(1));
    let error = pace.enter(&origin, Pause::Ignored).await.unwrap_err();
    assert!(matches!(error, PullError::OutOfTime { .. }) && error.is_transient(), "{error}");
}
