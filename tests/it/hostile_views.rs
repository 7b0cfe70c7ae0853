//! Hostile views: too many of everything, products, texts for each row, patterns, constants, and files that are no view.

use crate::hostile_words::nest;

/// How it must end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The file is at fault, and is named.
    Refused,
    /// The view is sound, but the resource asks too much of it.
    Stopped,
    Rows,
}

pub fn list(times: usize, item: impl Fn(usize) -> String) -> String {
    (0..times).map(item).collect::<Vec<_>>().join(",")
}

fn view(rest: &str) -> String {
    format!(r#"{{"resourceType":"ViewDefinition","resource":"QuestionnaireResponse","name":"v",{rest}}}"#)
}

fn columns(times: usize, path: &str) -> String {
    let column = |n: usize| format!(r#"{{"name":"c{n}","path":"{path}"}}"#);
    format!(r#""column":[{}]"#, list(times, column))
}

/// Each view with how it must end.
pub fn views() -> Vec<(&'static str, String, End)> {
    use End::{Refused, Rows, Stopped};
    let select = |inner: String| view(&format!(r#""select":[{inner}]"#));
    let each = |path: &str| format!(r#"{{"forEach":"{path}","select":[{{}}]}}"#);
    let own = |n: usize, rest: &str| format!(r#"{{{rest}"column":[{{"name":"c{n}","path":"id"}}]}}"#);
    let long = format!("text.`div`.matches('{}')", r"[\\\\p{L}]{500}".repeat(40));
    vec![
        ("columns", select(format!("{{{}}}", columns(100_000, "id"))), Refused),
        ("most columns", select(format!("{{{}}}", columns(1000, "id"))), Rows),
        (
            "columns over lists",
            select(format!("{{{}}},{}", columns(200, "item.linkId.first()"), each("item"))),
            Rows,
        ),
        (
            "lists over columns",
            select(format!("{},{{{}}}", each("item"), columns(1000, "item.linkId.first()"))),
            Stopped,
        ),
        (
            "nested selects",
            nest(r#"{"select":["#, r#"{"column":[{"name":"a","path":"id"}]}"#, "]}", 29).replacen('{', &view("").replacen(",}", ",", 1), 1),
            Rows,
        ),
        ("selects beside selects", select(list(100_000, |_| "{}".to_owned())), Refused),
        ("many selects with a column each", select(list(900, |n| own(n, ""))), Refused),
        ("some selects with a column each", select(list(60, |n| own(n, ""))), Rows),
        (
            "branches",
            select(format!(r#"{{"unionAll":[{}]}}"#, list(100_000, |_| own(0, "")))),
            Refused,
        ),
        (
            "most branches",
            select(format!(r#"{{"unionAll":[{}]}}"#, list(900, |_| own(0, "")))),
            Rows,
        ),
        (
            "branches that differ",
            select(format!(
                r#"{{"unionAll":[{{{}}},{}]}}"#,
                columns(900, "id"),
                list(900, |n| own(n + 1000, ""))
            )),
            Refused,
        ),
        (
            "a product without rows",
            select(format!(
                "{},{}",
                list(8, |_| each("item")),
                own(0, r#""forEach":"item.item.item.item.item.item","#)
            )),
            Stopped,
        ),
        (
            "a product with rows",
            select(format!("{},{}", list(3, |_| each("item")), own(0, ""))),
            Stopped,
        ),
        (
            "a product of all",
            select(format!("{},{}", list(3, |_| each("descendants()")), own(0, ""))),
            Stopped,
        ),
        (
            "a product of texts",
            select(format!("{},{{{}}}", each("item"), columns(9, "%resource.text.`div`"))),
            Stopped,
        ),
        (
            "texts beside one another",
            select(format!("{{{}}}", columns(1000, "text.`div`"))),
            Stopped,
        ),
        (
            "lists as values",
            select(format!(
                r#"{},{{"column":[{{"name":"a","path":"item.linkId","collection":true}}]}}"#,
                each("item")
            )),
            Stopped,
        ),
        (
            "conditions that search",
            select(own(0, r#""forEach":"item.where(%resource.item.where(linkId = 'x').exists())","#)),
            Stopped,
        ),
        ("a repeat of itself", select(own(0, r#""repeat":["$this"],"#)), Stopped),
        (
            "a repeat of everything",
            select(own(0, r#""repeat":["item | descendants()", "item", "$this"],"#)),
            Stopped,
        ),
        (
            "repeats in repeats",
            select(format!(
                r#"{{"repeat":["item"],"select":[{{"repeat":["%resource.item"],"select":[{}]}}]}}"#,
                own(0, "")
            )),
            Stopped,
        ),
        (
            "a repeat of many paths",
            select(own(0, &format!(r#""repeat":[{}],"#, list(10_000, |_| r#""item""#.to_owned())))),
            Refused,
        ),
        (
            "wheres",
            view(&format!(
                r#""where":[{}],"select":[{}]"#,
                list(100_000, |_| r#"{"path":"true"}"#.to_owned()),
                own(0, "")
            )),
            Refused,
        ),
        (
            "a where that explodes",
            view(&format!(
                r#""where":[{{"path":"descendants().all(%resource.descendants().count() > 0)"}}],"select":[{}]"#,
                own(0, "")
            )),
            Stopped,
        ),
        (
            "constants",
            view(&format!(
                r#""constant":[{}],"select":[{}]"#,
                list(50_000, |n| format!(r#"{{"name":"c{n}","valueString":"a"}}"#)),
                own(0, "")
            )),
            Refused,
        ),
        (
            "texts of the view in each row",
            view(&format!(
                r#""constant":[{{"name":"c","valueString":"{}"}}],"select":[{},{{{}}}]"#,
                "a".repeat(4000),
                each("item"),
                columns(1000, "%c")
            )),
            Stopped,
        ),
        (
            "a giant constant",
            view(&format!(
                r#""constant":[{{"name":"c","valueString":"{}"}}],"select":[{},{{{}}}]"#,
                "a".repeat(3_000_000),
                each("item"),
                columns(100, "%c")
            )),
            Refused,
        ),
        (
            "one name for all",
            select(format!(
                r#"{{"column":[{}]}}"#,
                list(50_000, |_| r#"{"name":"a","path":"id"}"#.to_owned())
            )),
            Refused,
        ),
        (
            "giant names",
            select(format!(r#"{{"column":[{{"name":"{}","path":"id"}}]}}"#, "a".repeat(1_000_000))),
            Refused,
        ),
        (
            "a fault in each line",
            select(format!(
                r#"{{"column":[{}]}}"#,
                list(50_000, |_| "\n\n\n{\"name\":\"-\"}".to_owned())
            )),
            Refused,
        ),
        (
            "a giant expression",
            select(format!(r#"{{"column":[{{"name":"a","path":"{}"}}]}}"#, "a.".repeat(1_000_000))),
            Refused,
        ),
        ("giant patterns", select(format!("{{{}}}", columns(1000, &long))), Refused),
        (
            "small patterns",
            select(format!("{{{}}}", columns(200, r"text.`div`.matches('^<b>[\\\\w]+x')"))),
            Rows,
        ),
        (
            "long ways to many columns",
            select(nest(
                &format!(r#"{{"forEach":"item.where({})","select":["#, ["linkId = 'a'"; 250].join(" or ")),
                &format!("{{{}}}", columns(900, "linkId")),
                "]}",
                25,
            )),
            Refused,
        ),
        (
            "tags",
            select(format!(
                r#"{{"column":[{{"name":"a","path":"id","tag":[{}]}}]}}"#,
                list(50_000, |_| r#"{"name":"a","value":"b"}"#.to_owned())
            )),
            Refused,
        ),
        (
            "numbers",
            view(&format!(r#""select":[{}]"#, list(2_000_000, |_| "0".to_owned()))),
            Refused,
        ),
        ("members", format!("{{{}}}", list(100_000, |n| format!(r#""m{n}":0"#))), Refused),
        ("brackets", "[".repeat(1_000_000), Refused),
        ("nothing", String::new(), Refused),
        ("too large", view(&" ".repeat(5 << 20)), Refused),
    ]
}
