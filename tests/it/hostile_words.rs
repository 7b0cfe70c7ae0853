//! Hostile expressions, by the family of their trick: nests, chains, products, texts that grow, patterns, numbers, odd characters.

/// Nests, by how deep they are. Some are refused, the others must not need much stack.
const DEPTHS: [usize; 6] = [10, 20, 31, 62, 500, 100_000];

/// `before` and `after` round a middle, as often as `times` says.
pub fn nest(before: &str, middle: &str, after: &str, times: usize) -> String {
    format!("{}{middle}{}", before.repeat(times), after.repeat(times))
}

/// `div` is an operator of FHIRPath; as a name it stands in backticks.
pub fn plainly(expression: &str) -> String {
    expression.replace("text.div", "text.`div`")
}

/// All expressions, with the family each belongs to.
pub fn expressions() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut add = |family, expression: String| all.push((family, plainly(&expression)));
    for times in DEPTHS {
        add("brackets", nest("(", "1", ")", times));
        add("open brackets", "(".repeat(times));
        add("nested iif", nest("iif(true, ", "1", ")", times));
        add("nested iif in its condition", nest("iif(", "true", " , true)", times));
        add("nested select", nest("item.select(", "linkId", ")", times));
        add("nested where", nest("item.where(", "linkId = 'a'", ")", times));
        add("nested all", nest("item.all(", "true", ")", times));
        add("nested index", nest("item[", "0", "]", times));
        add(
            "nested operators of rising precedence",
            nest("(true or 1 = 2 + 3 * ", "4", ")", times),
        );
        add("nested type tests", format!("item{}", " is Element".repeat(times)));
        add("signs", format!("{}1", "-+".repeat(times)));
        add("nested aggregate", nest("item.aggregate($total | ", "$this", ")", times));
        add("nested descendants", nest("descendants().select(", "linkId", ")", times));
        add("nested repeat", nest("repeat(item | ", "answer", ")", times));
    }
    for times in [100, 1000, 3000, 8000] {
        for operator in [
            " + ",
            " & ",
            " | ",
            " and ",
            " or ",
            " implies ",
            " = ",
            " < ",
            " in ",
            "*",
            " xor ",
        ] {
            add("long chains", vec!["1"; times].join(operator));
        }
        add("long paths", vec!["item"; times].join("."));
        add("long chains of calls", format!("item{}", ".descendants()".repeat(times)));
        add("long unions of everything", vec!["descendants()"; times].join(" | "));
        add("long unions of names", vec!["item"; times].join(" | "));
        add("many conditions", format!("item{}", ".where(linkId != 'x')".repeat(times)));
    }
    for expression in [
        "repeat($this)",
        "repeat(children())",
        "repeat(descendants())",
        "repeat(item | descendants())",
        "repeat($this | 1)",
        "repeat($this.toString() & 'a')",
        "(1).repeat($this + 1)",
        "'a'.repeat($this & $this)",
        "(1 | 2).repeat($this * 2)",
        "'a'.repeat($this + 'a')",
        "@2020.repeat($this + 1 year)",
        "item.repeat(item.repeat(item.repeat($this)))",
        "descendants().repeat(descendants())",
    ] {
        add("repeat", expression.to_owned());
    }
    for times in 2..7 {
        let product = |inner: &str| nest("item.select(%resource.", inner, ")", times);
        add("products", product("item.linkId"));
        add("products of all", nest("%resource.descendants().select(", "$this", ")", times));
        add(
            "products of conditions",
            nest("%resource.item.where(", "%resource.item.count() = 0", ".exists())", times),
        );
        add(
            "products of lists of numbers",
            format!(
                "(1|2|3|4|5|6|7|8|9|10){}",
                ".select($this.combine(1|2|3|4|5|6|7|8|9))".repeat(times)
            ),
        );
        add(
            "combine doubles",
            format!("item{}", ".combine(item.combine(%resource.item))".repeat(times * 3)),
        );
        add(
            "union doubles",
            format!("descendants(){}", ".union(%resource.descendants())".repeat(times)),
        );
        add("sorts of sorts", nest("descendants().sort(", "$this.toString()", ")", times));
        add(
            "distinct of distinct",
            nest("item.select(%resource.descendants().distinct()", "", ")", times),
        );
        add(
            "sets of sets",
            format!("descendants(){}", ".intersect(%resource.descendants()).exclude(item)".repeat(times)),
        );
        add(
            "equality of all",
            format!("descendants() {} descendants()", ["=", "~", "!=", "!~", "in"][times - 2]),
        );
    }
    for text in ["'0123456789'", "text.div", "text.div.substring(0, 5000)", "item.text.join('x')"] {
        for step in [
            ".replace('', '0123456789')",
            ".replace('0', '0123456789')",
            ".replaceMatches('.', '$0$0')",
            ".replaceMatches('(?:)', '0123456789')",
            ".select($this & $this)",
            ".select($this + $this)",
            ".toChars().join('0123456789')",
            ".encode('hex')",
            ".escape('html').escape('json')",
            ".upper().lower()",
            ".split('').select($this & $this).join('')",
        ] {
            add("texts that grow", format!("{text}{}", step.repeat(24)));
        }
        add(
            "text folded into itself",
            format!("item.aggregate($total & $total & {text}, 'a').length()"),
        );
        add(
            "text for each item",
            format!("descendants().select(%resource.{text} & 'x').length()"),
        );
        add("text compared for each", format!("item.where(%resource.{text} < 'a').count()"));
        add("text as a condition for each", format!("item.where(%resource.{text}).count()"));
        add("text asked its type", format!("item.where(%resource.{text} is string).count()"));
        add(
            "text converted for each",
            format!("item.where(%resource.{text}.convertsToInteger()).count()"),
        );
        add(
            "text folded equivalent",
            format!("item.where(%resource.{text} ~ %resource.text.div).count()"),
        );
    }
    for pattern in [
        "(a+)+$",
        "(a*)*b",
        "(a|aa)+$",
        "(.*)*",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(x+x+)+y",
        "(?:a?){500}a{500}",
        "a{1000}{1000}",
        "((a{100}){100}){100}",
        "(\\\\p{L}{1,500}){1,500}",
        "[\\\\s\\\\S]*[\\\\s\\\\S]*[\\\\s\\\\S]*x",
        "(?i)(\\\\w+\\\\s?)*$",
        "(((((((((((((((((((((((((((((((((((((((((((a)))))",
        "[",
        "(?<=a)b",
        "(a)\\\\1",
        "\\\\b.*\\\\b.*\\\\b.*\\\\b",
    ] {
        let pattern = if pattern.contains("(((((((") {
            "(".repeat(5000) + &")".repeat(5000)
        } else {
            pattern.to_owned()
        };
        for function in ["matches('PATTERN')", "matchesFull('PATTERN')", "replaceMatches('PATTERN', 'aa')"] {
            let call = function.replace("PATTERN", &pattern);
            add("patterns", format!("text.div.{call}"));
            add(
                "patterns made while running",
                format!(
                    "item.select($this.linkId.{})",
                    call.replace("')", "' & '')").replace("', 'aa'", "' & linkId, 'aa'")
                ),
            );
        }
    }
    let class = "\\\\pL".repeat(2500);
    add("patterns", format!("text.div.matches('{class}')"));
    add("many patterns", vec!["text.div.matches('[\\\\p{L}]{50}')"; 400].join(" or "));
    for number in [
        "9".repeat(10_000),
        "9".repeat(40),
        format!("0.{}", "9".repeat(10_000)),
        format!("1{}.5", "0".repeat(37)),
    ] {
        for tail in [
            "",
            " 'mg'",
            " * 9999999999",
            ".power(100000)",
            ".exp()",
            ".round(2147483647)",
            ".sqrt()",
            " years",
            " div 0",
            ".toString()",
        ] {
            add("giant numbers", format!("{number}{tail}"));
        }
    }
    for expression in [
        "@9999-12-31 + 1 day",
        "@0001-01-01 - 1 day",
        "@2020-01-01 + 9223372036854775807 years",
        "@2020 + 9999999999999999999.5 days",
        "@T00:00 - 1 'h'",
        "@2020-02-29 + 999999999 months",
        "@2020-12-31T23:59:59.999Z + 0.0000000000000000001 seconds",
        "@2020-01-01 - -9223372036854775807 years",
        "(9223372036854775807 + 1)",
        "(-9223372036854775807 - 2)",
        "9223372036854775807 * 2",
        "-9223372036854775807 div -1",
        "1 div 0",
        "1 mod 0",
        "1 / 0",
        "(0 - 9223372036854775807 - 1).abs()",
        "(0 - 9223372036854775807 - 1) div -1",
        "2.power(63)",
        "2.power(2147483648)",
        "(0.1).power(-400)",
        "1e400",
        "item[9223372036854775807]",
        "item[-1]",
        "item[-9223372036854775807 - 1]",
        "item.skip(9223372036854775807)",
        "item.take(-9223372036854775807)",
        "'a'.substring(9223372036854775807, 9223372036854775807)",
        "'a'.substring(-1)",
        "text.div.substring(0, -1)",
        "'abc'.indexOf('')",
        "1.5.round(30)",
        "(1 'm' * 1 'kg' / 1 's').toString()",
        "1 '10*400' + 1 '10*-400'",
        "1 'kg.m.s-2.A99999999999' = 1 'N'",
        "1 'm' = 1 'km' and 1 '(((((((m)))))))' = 1 'm'",
    ] {
        add("edges of numbers and dates", expression.to_owned());
    }
    add("units that multiply", format!("1 'kg'{}", " * 1 'm'".repeat(1000)));
    add("units of brackets", format!("1 '{}' = 1 'm'", nest("(", "m", ")", 7000)));
    add("units of powers", format!("1 '{}' = 1 'm'", "m9.".repeat(5000)));
    for times in [1, 10, 100] {
        let times = times * 60;
        add(
            "aggregates",
            format!("descendants().aggregate({} + 1, 0)", vec!["$total"; times].join(" + ")),
        );
        add(
            "aggregates that gather",
            format!("descendants().aggregate($total{}, {{}})", " | $this".repeat(times)),
        );
        add("traces", format!("descendants(){}", ".trace('a', descendants())".repeat(times)));
        add("long lists of arguments", format!("iif({})", vec!["1"; times].join(",")));
    }
    for text in [
        "'never closed",
        "\"never closed",
        "`never closed",
        "/* never closed",
        "'\\",
        "'\\u12",
        "'\\ud800'",
        "'\\uZZZZ'",
        "@",
        "@T",
        "@2020-",
        "@2020-13-45",
        "%",
        "%`",
        "$",
        "$that",
        "'\u{202e}abc' = 'abc'",
        "e\u{301} = é",
        "'\u{0}'",
        "\u{feff}id",
        "id\u{a0}",
        "`\u{1f980}`.`\u{1f468}\u{200d}\u{1f469}`",
        "'\u{1f980}'.length().toString().toChars()",
        "ſtatus",
        "'ŉǰΐΰ'.upper().lower().upper()",
        "'İ'.lower().length()",
        "'\u{1f980}é'.substring(1, 1)",
        "'é'.encode('base64').decode('hex')",
        "1.",
        ".1",
        "1..2",
        "1 2",
        "a b",
        "()",
        "[]",
        "{",
        "}",
        "{}{}",
        "item[]",
        "item.",
        ".item",
        "item..item",
        "iif()",
        "is()",
        "as()",
        "where()",
        "ofType(1)",
        "item.ofType()",
        "// only a comment",
        "",
        " ",
        "\n\n\n",
        "a // b",
        "nothing()",
        "item.item(",
        "item)",
        "true false",
        "and",
        "or or",
        "not()",
        "1 is",
        "1 as",
        "is is is",
        "$this.$this",
        "%resource.%resource",
    ] {
        add("odd texts", text.to_owned());
    }
    add("giant texts", format!("'{}'", "a".repeat(16_000)));
    add("giant texts", format!("'{}' = '{}'", "\\u0041".repeat(1000), "A".repeat(1000)));
    add("giant names", "a".repeat(16_000));
    add("giant comments", format!("/*{}*/ 1", "a".repeat(16_000)));
    add("giant comments", format!("{}1", "//a\n".repeat(4000)));
    add("giant expressions", "1 ".repeat(1_000_000));
    for times in [1, 8, 32, 60] {
        add("wide objects", format!("item{}", ".where(%resource.nothing.empty())".repeat(times)));
        add(
            "all extensions for each",
            nest("item.select(%resource.extension('http://x')", "", ")", times),
        );
        add("keys for each", nest("item.select(%resource.getResourceKey()", "", ")", times));
        add("children for each", nest("item.select(%resource.children()", "", ")", times));
    }
    all
}
