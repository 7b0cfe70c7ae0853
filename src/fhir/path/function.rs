//! The functions of FHIRPath we know: name, how many arguments, and what the arguments are evaluated on.
//! What they do is in `collection`, `text`, `number` and `boundary`.

/// What a function's arguments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Evaluated once, on the `$this` around the call.
    Values,
    /// Evaluated for each item, which is `$this`.
    EachItem,
    /// The name of a type.
    Type,
}

macro_rules! functions {
    ($($variant:ident $name:literal $least:literal $most:literal $kind:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Function { $($variant,)* }

        impl Function {
            pub fn of(name: &str) -> Option<Function> {
                match name {
                    $($name => Some(Function::$variant),)*
                    _ => None,
                }
            }

            pub const fn name(self) -> &'static str {
                match self { $(Function::$variant => $name,)* }
            }

            /// The least and the most arguments.
            pub const fn arity(self) -> (usize, usize) {
                match self { $(Function::$variant => ($least, $most),)* }
            }

            pub const fn arguments(self) -> Arguments {
                match self { $(Function::$variant => Arguments::$kind,)* }
            }
        }
    };
}

impl Function {
    /// What it gives are items of its input.
    pub const fn keeps_items(self) -> bool {
        use Function as F;
        matches!(
            self,
            F::Where
                | F::First
                | F::Last
                | F::Tail
                | F::Skip
                | F::Take
                | F::Single
                | F::Distinct
                | F::Exclude
                | F::Intersect
                | F::Sort
                | F::Trace
        )
    }
}

impl Function {
    /// From an empty input it gives nothing, whatever its arguments are.
    pub const fn gives_nothing_from_nothing(self) -> bool {
        use Function as F;
        self.keeps_items()
            || matches!(
                self,
                F::Select
                    | F::Repeat
                    | F::OfType
                    | F::As
                    | F::Children
                    | F::Extension
                    | F::GetReferenceKey
                    | F::LowBoundary
                    | F::HighBoundary
                    | F::ToBoolean
                    | F::ToInteger
                    | F::ToDecimal
                    | F::ToText
                    | F::IndexOf
                    | F::Substring
                    | F::StartsWith
                    | F::EndsWith
                    | F::Contains
                    | F::Upper
                    | F::Lower
                    | F::Replace
                    | F::Matches
                    | F::ReplaceMatches
                    | F::Length
                    | F::Split
                    | F::Trim
                    | F::Encode
                    | F::Decode
                    | F::Abs
                    | F::Ceiling
                    | F::Floor
                    | F::Round
                    | F::Truncate
            )
    }
}

functions! {
    Empty "empty" 0 0 Values,
    Exists "exists" 0 1 EachItem,
    All "all" 1 1 EachItem,
    AllTrue "allTrue" 0 0 Values,
    AnyTrue "anyTrue" 0 0 Values,
    AllFalse "allFalse" 0 0 Values,
    AnyFalse "anyFalse" 0 0 Values,
    SubsetOf "subsetOf" 1 1 Values,
    SupersetOf "supersetOf" 1 1 Values,
    Count "count" 0 0 Values,
    Distinct "distinct" 0 0 Values,
    IsDistinct "isDistinct" 0 0 Values,
    Where "where" 1 1 EachItem,
    Select "select" 1 1 EachItem,
    Repeat "repeat" 1 1 EachItem,
    OfType "ofType" 1 1 Type,
    Is "is" 1 1 Type,
    As "as" 1 1 Type,
    Single "single" 0 0 Values,
    First "first" 0 0 Values,
    Last "last" 0 0 Values,
    Tail "tail" 0 0 Values,
    Skip "skip" 1 1 Values,
    Take "take" 1 1 Values,
    Intersect "intersect" 1 1 Values,
    Exclude "exclude" 1 1 Values,
    Union "union" 1 1 Values,
    Combine "combine" 1 1 Values,
    Iif "iif" 2 3 EachItem,
    Sort "sort" 0 8 EachItem,
    Aggregate "aggregate" 1 2 EachItem,
    Children "children" 0 0 Values,
    Descendants "descendants" 0 0 Values,
    Now "now" 0 0 Values,
    Today "today" 0 0 Values,
    TimeOfDay "timeOfDay" 0 0 Values,
    Not "not" 0 0 Values,
    Trace "trace" 1 2 EachItem,
    Type "type" 0 0 Values,
    Extension "extension" 1 1 Values,
    HasValue "hasValue" 0 0 Values,
    GetValue "getValue" 0 0 Values,
    ConformsTo "conformsTo" 1 1 Values,
    MemberOf "memberOf" 1 1 Values,
    Resolve "resolve" 0 0 Values,
    GetResourceKey "getResourceKey" 0 0 Values,
    GetReferenceKey "getReferenceKey" 0 1 Type,
    Join "join" 0 1 Values,
    LowBoundary "lowBoundary" 0 1 Values,
    HighBoundary "highBoundary" 0 1 Values,
    Precision "precision" 0 0 Values,
    Comparable "comparable" 1 1 Values,
    ToBoolean "toBoolean" 0 0 Values,
    ToInteger "toInteger" 0 0 Values,
    ToDecimal "toDecimal" 0 0 Values,
    ToText "toString" 0 0 Values,
    ToDate "toDate" 0 0 Values,
    ToDateTime "toDateTime" 0 0 Values,
    ToTime "toTime" 0 0 Values,
    ToQuantity "toQuantity" 0 1 Values,
    ConvertsToBoolean "convertsToBoolean" 0 0 Values,
    ConvertsToInteger "convertsToInteger" 0 0 Values,
    ConvertsToDecimal "convertsToDecimal" 0 0 Values,
    ConvertsToText "convertsToString" 0 0 Values,
    ConvertsToDate "convertsToDate" 0 0 Values,
    ConvertsToDateTime "convertsToDateTime" 0 0 Values,
    ConvertsToTime "convertsToTime" 0 0 Values,
    ConvertsToQuantity "convertsToQuantity" 0 1 Values,
    IndexOf "indexOf" 1 1 Values,
    LastIndexOf "lastIndexOf" 1 1 Values,
    Substring "substring" 1 2 Values,
    StartsWith "startsWith" 1 1 Values,
    EndsWith "endsWith" 1 1 Values,
    Contains "contains" 1 1 Values,
    Upper "upper" 0 0 Values,
    Lower "lower" 0 0 Values,
    Replace "replace" 2 2 Values,
    Matches "matches" 1 1 Values,
    MatchesFull "matchesFull" 1 1 Values,
    ReplaceMatches "replaceMatches" 2 2 Values,
    Length "length" 0 0 Values,
    ToChars "toChars" 0 0 Values,
    Split "split" 1 1 Values,
    Trim "trim" 0 0 Values,
    Encode "encode" 1 1 Values,
    Decode "decode" 1 1 Values,
    Escape "escape" 1 1 Values,
    Unescape "unescape" 1 1 Values,
    Abs "abs" 0 0 Values,
    Ceiling "ceiling" 0 0 Values,
    Exp "exp" 0 0 Values,
    Floor "floor" 0 0 Values,
    Ln "ln" 0 0 Values,
    Log "log" 1 1 Values,
    Power "power" 1 1 Values,
    Round "round" 0 1 Values,
    Sqrt "sqrt" 0 0 Values,
    Truncate "truncate" 0 0 Values,
    YearOf "yearOf" 0 0 Values,
    MonthOf "monthOf" 0 0 Values,
    DayOf "dayOf" 0 0 Values,
    HourOf "hourOf" 0 0 Values,
    MinuteOf "minuteOf" 0 0 Values,
    SecondOf "secondOf" 0 0 Values,
    DateOf "dateOf" 0 0 Values,
    TimeOf "timeOf" 0 0 Values,
}

/// Functions whose answer depends on the moment or on the outside; a mapping must give the same rows tomorrow.
pub(super) const IMPURE: [&str; 5] = ["now", "today", "timeOfDay", "subsumes", "subsumedBy"];
