//! Expressions made to use up stack, time or memory, each on a large resource: every one must end, as a fault or with a result,
//! on a small stack and within the steps that one resource has. What is refused is as good as what is answered.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use headwater::fhir::path::{Context, Element, Item, Names, Path, Start, write_json};
use headwater::fhir::tree::{Limits, Tree};

use crate::hostile_words::{expressions, nest};

/// Stack of the thread that compiles and evaluates: a fourth of what a thread has. Code that is not optimised needs more of it.
pub const STACK: usize = if cfg!(debug_assertions) { 2 << 20 } else { 512 << 10 };
/// For one expression, on a machine that does something else as well; the work itself is bounded by steps.
const LONGEST: Duration = Duration::from_secs(60);
/// Memory that one process may need for all of them, beyond what reading the resource takes.
const MEMORY_KIB: u64 = 64 << 10;

/// As large and as odd as a line may be and still be read in little time: thousands of items, one as deep as the reader permits,
/// a long text full of escapes, thousands of extensions.
pub fn resource() -> String {
    let items: Vec<_> = (0..3000)
        .map(|n| format!(r#"{{"linkId":"{n}","text":"item {n}","answer":[{{"valueString":"a"}},{{"valueInteger":{n}}}]}}"#))
        .collect();
    let deep = nest(r#"{"linkId":"a","item":["#, r#"{"linkId":"b"}"#, "]}", 30);
    let extensions: Vec<_> = (0..2000)
        .map(|n| format!(r#"{{"url":"http://x/{n}","valueBoolean":true}}"#))
        .collect();
    format!(
        r#"{{"resourceType":"QuestionnaireResponse","id":"q","status":"completed","text":{{"status":"empty","div":"{}"}},"extension":[{}],"item":[{deep},{}]}}"#,
        r"<b>\u00e9aaaa\n".repeat(8000),
        extensions.join(","),
        items.join(",")
    )
}

/// What became of it, and the steps that took.
fn ends(expression: &str, line: &str) -> (String, u32) {
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("a resource of ours");
    let focus = Element::resource(root);
    let typing = focus.type_id.map(|type_id| vec![type_id]);
    let start = Start {
        focus: typing.clone(),
        resource: typing,
        strict: false,
    };
    let path = match Path::compile(expression, &Names::default(), &start) {
        Ok(path) => path,
        Err(error) => {
            assert!(error.offset <= expression.len() && error.message.len() < 17 << 10, "{error}");
            return ("refused".to_owned(), 0);
        }
    };
    let context = Context::new(root, &[]);
    match path.evaluate(&context, Item::Element(focus)) {
        Err(fault) => (fault.rule.to_owned(), context.steps()),
        Ok(found) => {
            assert!(context.steps() <= 1_000_000, "an answer after more steps than there are");
            assert!(found.len() <= 100_000, "{} items", found.len());
            let mut out = Vec::new();
            for item in found.as_slice() {
                out.clear();
                write_json(item, &mut out);
                assert!(out.len() <= 8 << 20, "an item of {} bytes", out.len());
            }
            ("answered".to_owned(), context.steps())
        }
    }
}

#[test]
fn every_hostile_expression_ends_within_its_steps_on_a_small_stack() {
    let all = expressions();
    assert!(all.len() >= 200, "{} expressions", all.len());
    let line = resource();
    let (sender, answers) = mpsc::channel();
    let count = all.len();
    // Two at work; each on the stack that a careless host might give it.
    for half in 0..2 {
        let (sender, line) = (sender.clone(), line.clone());
        let own: Vec<_> = all.iter().skip(half).step_by(2).cloned().collect();
        let work = move || {
            for (family, expression) in own {
                let begun = Instant::now();
                let (outcome, steps) = ends(&expression, &line);
                let done = (family, shown(&expression), outcome, steps, begun.elapsed());
                if sender.send(done).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().stack_size(STACK).spawn(work).unwrap();
    }
    drop(sender);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut slowest = (Duration::ZERO, String::new());
    for done in 0..count {
        let answer = answers.recv_timeout(LONGEST);
        let (family, expression, outcome, steps, took) =
            answer.unwrap_or_else(|error| panic!("after {done} of {count} expressions: {error}"));
        if took > slowest.0 {
            slowest = (took, format!("{family}: {expression}: {outcome}, {steps} steps"));
        }
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("{count} expressions: {outcomes:#?}\nslowest: {:?} {}", slowest.0, slowest.1);
    assert!(
        outcomes.keys().any(|outcome| outcome.contains("1000000 steps")),
        "the limit on steps was never met"
    );
    assert!(outcomes.get("answered").is_some_and(|answered| *answered > 50), "{outcomes:?}");
}

fn shown(expression: &str) -> String {
    expression.chars().take(80).collect()
}

#[test]
fn all_hostile_expressions_together_need_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resource.json");
    std::fs::write(&file, resource()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["fhirpath", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let peak = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(str::to_owned);
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .unwrap_or(0)
    };
    let mut input = child.stdin.take().unwrap();
    let (sender, answers) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line.len())));
    let mut ask = |expression: &str| {
        let question = serde_json::json!({ "expression": expression, "file": file });
        writeln!(input, "{question}").unwrap();
        answers
            .recv_timeout(LONGEST)
            .unwrap_or_else(|error| panic!("{}: {error}", shown(expression)));
    };
    ask("id");
    let before = peak();
    let mut worst = (before, String::new());
    for (_, expression) in expressions() {
        ask(&expression);
        let after = peak();
        if after > worst.0 {
            worst = (after, shown(&expression));
        }
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    println!("{before} KiB to read the resource, {} KiB at most, by {}", worst.0, worst.1);
    assert!(
        before == 0 || worst.0 <= before + MEMORY_KIB,
        "{before} KiB became {} KiB with {}",
        worst.0,
        worst.1
    );
}
