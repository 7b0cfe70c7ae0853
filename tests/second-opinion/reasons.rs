//! Why the two opinions differ, by class. A class without a reason fails the tests, and so does a reason without a class.
//! Where FHIR decides, it says so: FHIR 4.0.1, "JSON Representation of Resources", "Primitive Types" and the definitions of R4.

/// Classes, and the reason of them all.
pub type Reason = (&'static [&'static str], &'static str);

pub const REASONS: &[Reason] = &[
    // Whether it is FHIR's JSON at all.
    (
        &[
            "we refuse, structure: base64Binary",
            "we refuse, structure: code",
            "we refuse, structure: date",
            "we refuse, structure: dateTime",
            "we refuse, structure: empty string",
            "we refuse, structure: id",
            "we refuse, structure: instant",
            "we refuse, structure: time",
            "we refuse, structure: uri",
            "we refuse, structure: uuid",
        ],
        "fhirbolt takes any text for every type that is a text; R4 says how each is written, and that none is empty",
    ),
    (
        &["we refuse, structure: not negative", "we refuse, structure: positive"],
        "fhirbolt takes any whole number for unsignedInt and positiveInt; R4 gives both their least value",
    ),
    (
        &["we refuse, structure: integer of 32 bits"],
        "R4's integer has 32 bits; fhirbolt cuts what is larger down to them, and would give another number",
    ),
    (
        &[
            "we refuse, structure: type boolean",
            "we refuse, structure: type decimal",
            "we refuse, structure: type integer",
        ],
        "fhirbolt reads a boolean or a number out of a text, and an empty object as an element without a value; in R4's JSON they are \
         no texts and no objects",
    ),
    (
        &["we refuse, structure: type string", "we refuse, structure: empty object"],
        "fhirbolt reads an empty object as an element without value or children, of which R4 has none",
    ),
    (
        &["we refuse, structure: type object"],
        "to fhirbolt a bare value is the same as an object with a `value`, which some types do have; in R4's JSON their elements are objects",
    ),
    (
        &["we refuse, structure: many, not one"],
        "fhirbolt makes a list of a single value; in R4's JSON an element that may repeat is always an array",
    ),
    (
        &["we refuse, structure: one, not many"],
        "fhirbolt takes an array for any element; in R4's JSON one that cannot repeat is none",
    ),
    (
        &["we refuse, structure: empty array", "we refuse, structure: null"],
        "fhirbolt takes empty arrays, and null for an item of any array; R4's JSON has null only for a primitive whose companion has an \
         id or extensions at the same place",
    ),
    (
        &["we refuse, structure: unknown element"],
        "fhirbolt drops the underscore of any name and of objects too, and puts what it holds into the element; R4's JSON has companions \
         for primitives only, and no `value` in them",
    ),
    (
        &["we refuse, structure: required"],
        "an extension without its url: fhirbolt's Element reader asks for no element, and we always ask for this one, for without it \
         nobody can tell what the extension is",
    ),
    (
        &["we refuse, structure: resource type"],
        "a resource without resourceType, here an empty object: fhirbolt has nothing in it to object to",
    ),
    (
        &["we refuse, JSON: duplicate member"],
        "fhirbolt merges two members of one name; RFC 8259 calls the outcome unpredictable, and R4's JSON forbids it",
    ),
    // FHIR's own rules, which are asked of what is FHIR's JSON.
    (
        &["we refuse, rule: required"],
        "fhirbolt's Element reader knows no cardinalities; each of these elements is 1..1 or 1..* in R4's definitions, or the id of what \
         a search found. Most are data that others made shorter: definitions without status, outcomes without issues",
    ),
    (
        &["we refuse, rule: invariant dom-3", "we refuse, rule: absolute url"],
        "fhirbolt knows no invariants: a contained resource to which nothing refers; an entry whose fullUrl is relative",
    ),
    (
        &["we refuse, rule: narrative"],
        "to fhirbolt a narrative is any text; R4 allows it some tags of XHTML and no empty one (txt-1, txt-2)",
    ),
    // Where fhirbolt objects and we do not.
    (
        &["fhirbolt refuses: resourceType is not the first member"],
        "fhirbolt knows a resource's elements only once it has read resourceType; JSON's members have no order, and with this one first \
         fhirbolt reads the same resource",
    ),
    (
        &["fhirbolt refuses: invalid value", "fhirbolt refuses: what it read, it cannot write"],
        "fhirbolt takes the id in the companion of a boolean, a whole number or a decimal for one itself, and cannot write an id with an id",
    ),
    (
        &["fhirbolt refuses: unknown field"],
        "`_url` beside the url of an extension: to fhirbolt that is no element. We take it for a companion like any \
         other, as CONTRIBUTING.md says under \"Readings of standards\"; it makes no value of the extension",
    ),
    // What both accept and read otherwise.
    (
        &["read otherwise: a member is lost"],
        "`_id` beside an id, which fhirbolt drops or cannot tell from the id; and an array of nothing but null beside its companion, which \
         fhirbolt leaves out as it writes",
    ),
    (
        &["read otherwise: another number of items"],
        "fhirbolt fills a companion's array up with null to the length of the values'; we read one that ends earlier as it stands",
    ),
    (
        &["read otherwise: the same number in other digits"],
        "fhirbolt's serde_json writes `1.0e2` as `1.0e+2`; we keep the digits as they stand",
    ),
];
