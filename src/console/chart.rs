//! Charts as SVG, drawn here: bands that flow from sources to fates, and small bars. No script, no style attribute, so
//! that the strict content policy holds; colours are classes of the stylesheet. Each chart says in words what it shows.

use maud::{Markup, html};

use super::page::grouped;

/// One source and what of it went to each fate, in the fates' order.
pub(super) struct Source {
    pub label: String,
    /// Said after the number, where there is room.
    pub note: Option<String>,
    pub parts: Vec<u64>,
}

/// One fate.
pub(super) struct Fate {
    pub label: &'static str,
    /// `good`, `calm` or `bad`.
    pub class: &'static str,
}

impl Fate {
    const fn of(label: &'static str, class: &'static str) -> Self {
        Self { label, class }
    }
}

/// A flow from sources on the left to fates on the right; the bands' heights are the numbers.
pub(super) struct Flow<'f> {
    /// Unique on the page.
    pub id: &'f str,
    pub title: &'f str,
    /// What is counted, in the plural.
    pub unit: &'f str,
    pub sources: &'f [Source],
    pub fates: &'f [Fate],
}

/// Heights in pixels.
const BANDS: f64 = 200.0;
const SLOT: f64 = 38.0;
const GAP: f64 = 6.0;
const BAR: f64 = 9.0;
/// The thinnest band.
const THIN: f64 = 2.0;

struct Size {
    class: &'static str,
    width: f64,
    left: f64,
    right: f64,
    letters: usize,
    font: u8,
    /// Whether there is room for the sources' notes.
    notes: bool,
}

const WIDE: Size = Size {
    class: "wide",
    width: 960.0,
    left: 230.0,
    right: 150.0,
    letters: 26,
    font: 14,
    notes: true,
};
/// Two of these stand beside each other.
const HALF: Size = Size {
    class: "wide",
    width: 520.0,
    left: 128.0,
    right: 112.0,
    letters: 15,
    font: 14,
    notes: false,
};
const SLIM: Size = Size {
    class: "slim",
    width: 350.0,
    left: 152.0,
    right: 78.0,
    letters: 18,
    font: 12,
    notes: false,
};

/// The flow, once for wide and once for slim windows; the stylesheet shows one of them.
pub(super) fn flow(flow: &Flow<'_>) -> Markup {
    html! { (draw(flow, &WIDE)) (draw(flow, &SLIM)) }
}

/// The same for a place half as wide.
pub(super) fn half_flow(flow: &Flow<'_>) -> Markup {
    html! { (draw(flow, &HALF)) (draw(flow, &SLIM)) }
}

/// What becomes of a resource at the hospital.
pub(super) const RESOURCE_FATES: [Fate; 3] = [Fate::of("mapped", "good"), Fate::of("excluded", "calm"), Fate::of("refused", "bad")];
/// What becomes of a row at the registry.
pub(super) const ROW_FATES: [Fate; 2] = [Fate::of("accepted", "good"), Fate::of("rejected", "bad")];

/// Where one bar stands and how high it is.
#[derive(Clone, Copy)]
struct Place {
    y: f64,
    height: f64,
}

/// Puts bars under each other, each in a slot that has room for its label; gives the places and the height of all.
fn stack(heights: impl Iterator<Item = f64>) -> (Vec<Place>, f64) {
    let mut y = 0.0;
    let mut places = Vec::new();
    for height in heights {
        let slot = height.max(SLOT);
        places.push(Place {
            y: y + (slot - height) / 2.0,
            height,
        });
        y += slot + GAP;
    }
    (places, y - GAP)
}

/// A band that is not nothing can be seen.
fn thick(value: u64, scale: f64) -> f64 {
    if value == 0 { 0.0 } else { (value as f64 * scale).max(THIN) }
}

fn draw(flow: &Flow<'_>, size: &Size) -> Markup {
    let totals: Vec<u64> = flow.sources.iter().map(|source| source.parts.iter().sum()).collect();
    let fates: Vec<u64> = (0..flow.fates.len())
        .map(|fate| flow.sources.iter().map(|source| source.parts[fate]).sum())
        .collect();
    let all: u64 = totals.iter().sum();
    let scale = BANDS / all.max(1) as f64;
    // A bar is as high as the bands that meet there, which may be thicker than their numbers.
    let thicknesses = |source: &Source| source.parts.iter().map(|part| thick(*part, scale)).collect::<Vec<_>>();
    let bands_of: Vec<Vec<f64>> = flow.sources.iter().map(thicknesses).collect();
    let (mut lefts, left_height) = stack(bands_of.iter().map(|bands| bands.iter().sum()));
    let (mut rights, right_height) = stack((0..fates.len()).map(|fate| bands_of.iter().map(|bands| bands[fate]).sum()));
    let height = left_height.max(right_height) + 8.0;
    for place in &mut lefts {
        place.y += (height - left_height) / 2.0;
    }
    for place in &mut rights {
        place.y += (height - right_height) / 2.0;
    }
    let (from, to) = (size.left + BAR, size.width - size.right - BAR);
    let (mut out, mut inn) = (lefts.clone(), rights.clone());
    let mut bands = Vec::new();
    for (s, source) in flow.sources.iter().enumerate() {
        for (f, value) in source.parts.iter().enumerate().filter(|(_, value)| **value > 0) {
            let thickness = bands_of[s][f];
            let title = format!("{} to {}: {} {}", source.label, flow.fates[f].label, grouped(*value), flow.unit);
            bands.push((
                flow.fates[f].class,
                thickness < 2.0 * THIN,
                band(from, out[s].y, to, inn[f].y, thickness),
                title,
            ));
            out[s].y += thickness;
            inn[f].y += thickness;
        }
    }
    let said = flow
        .fates
        .iter()
        .zip(&fates)
        .map(|(fate, value)| format!("{} {}", grouped(*value), fate.label));
    let said = format!("Of {} {}: {}.", grouped(all), flow.unit, said.collect::<Vec<_>>().join(", "));
    let (title_id, said_id) = (
        format!("{}-{}-title", flow.id, size.class),
        format!("{}-{}-desc", flow.id, size.class),
    );
    html! {
        svg.flow.(size.class) viewBox=(format!("0 0 {:.0} {height:.0}", size.width)) role="img" aria-labelledby={(title_id) " " (said_id)} {
            title id=(title_id) { (flow.title) }
            desc id=(said_id) { (said) }
            @for (class, thin, path, title) in &bands { path.band.{"fill-" (class)}.thin[*thin] d=(path) { title { (title) } } }
            @for ((place, source), total) in lefts.iter().zip(flow.sources).zip(&totals) {
                (bar(size.left, *place, if *total == 0 { "none" } else { "accent" }))
                (label(size, size.left - 8.0, *place, "end", &source.label, &number(*total, source.note.as_ref().filter(|_| size.notes))))
            }
            @for ((place, fate), total) in rights.iter().zip(flow.fates).zip(&fates) {
                (bar(to, *place, if *total == 0 { "none" } else { fate.class }))
                (label(size, to + BAR + 8.0, *place, "start", fate.label, &number(*total, None)))
            }
        }
    }
}

fn band(x1: f64, y1: f64, x2: f64, y2: f64, thickness: f64) -> String {
    let middle = f64::midpoint(x1, x2);
    let (b1, b2) = (y1 + thickness, y2 + thickness);
    format!(
        "M{x1:.1} {y1:.1}C{middle:.1} {y1:.1} {middle:.1} {y2:.1} {x2:.1} {y2:.1}V{b2:.1}C{middle:.1} {b2:.1} {middle:.1} {b1:.1} {x1:.1} {b1:.1}Z"
    )
}

fn bar(x: f64, place: Place, class: &str) -> Markup {
    let (y, height) = if place.height == 0.0 {
        (place.y - 1.0, 2.0)
    } else {
        (place.y, place.height)
    };
    html! { rect class={"fill-" (class)} x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(BAR) height=(format!("{height:.1}")) rx="2" {} }
}

fn label(size: &Size, x: f64, place: Place, anchor: &str, name: &str, number: &str) -> Markup {
    let middle = place.y + place.height / 2.0;
    let x = format!("{x:.1}");
    html! {
        text x=(x) y=(format!("{:.1}", middle - 3.0)) text-anchor=(anchor) font-size=(size.font) font-weight="600" { (shortened(name, size.letters)) }
        text.sub x=(x) y=(format!("{:.1}", middle + 14.0)) text-anchor=(anchor) font-size=(size.font - 1) { (number) }
    }
}

fn number(number: u64, note: Option<&String>) -> String {
    note.map_or_else(|| grouped(number), |note| format!("{}, {note}", grouped(number)))
}

fn shortened(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    name.chars().take(letters - 1).chain(['…']).collect()
}

/// Small bars, oldest first: accepted and, on top of them, rejected. A bar that would dwarf the others, such as a first full
/// load beside nightly changes, is cut and shows a break.
pub(super) fn bars(title: &str, values: &[(u64, u64)]) -> Markup {
    const HEIGHT: f64 = 30.0;
    const STEP: f64 = 10.0;
    const PLACES: usize = 14;
    let values = &values[values.len().saturating_sub(PLACES)..];
    let (scale_to, cut) = tallest(values);
    let first = (PLACES - values.len()) as f64 * STEP;
    let title = if cut {
        format!("{title}; the tallest bars are cut")
    } else {
        title.to_owned()
    };
    html! {
        svg.bars viewBox=(format!("0 0 {} {HEIGHT}", PLACES as f64 * STEP)) preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            rect.fill-none x="0" y=(HEIGHT - 1.0) width=(PLACES as f64 * STEP) height="1" {}
            @for (at, (accepted, rejected)) in values.iter().enumerate() {
                @let all = accepted + rejected;
                @let height = if all == 0 { 0.0 } else { (all.min(scale_to) as f64 / scale_to as f64 * (HEIGHT - 2.0)).max(1.0) };
                @let bad = if all == 0 { 0.0 } else { height * *rejected as f64 / all as f64 };
                @let (x, top) = (first + at as f64 * STEP + 1.5, HEIGHT - 1.0 - height);
                rect.fill-accent x=(x) y=(format!("{:.2}", top + bad)) width=(STEP - 3.0) height=(format!("{:.2}", height - bad)) {}
                @if bad > 0.0 { rect.fill-bad x=(x) y=(format!("{top:.2}")) width=(STEP - 3.0) height=(format!("{bad:.2}")) {} }
                @if all > scale_to { rect.fill-sheet x=(x - 1.0) y="8" width=(STEP - 1.0) height="2" {} }
            }
        }
    }
}

/// What the full height stands for, and whether some bar is higher.
fn tallest(values: &[(u64, u64)]) -> (u64, bool) {
    let mut sizes: Vec<u64> = values.iter().map(|(accepted, rejected)| accepted + rejected).collect();
    sizes.sort_unstable();
    let (most, middle) = (sizes.last().copied().unwrap_or(0), sizes.get(sizes.len() / 2).copied().unwrap_or(0));
    if middle > 0 && most > 5 * middle {
        (3 * middle, true)
    } else {
        (most.max(1), false)
    }
}

/// A bar that shows a part of the whole; its number stands beside it, so it is no image to those who cannot see it.
pub(super) fn share(part: u64, whole: u64) -> Markup {
    let width = part as f64 / whole.max(1) as f64 * 100.0;
    html! {
        svg.share viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.fill-none width="100" height="8" {}
            rect.fill-accent width=(format!("{width:.2}")) height="8" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(parts: &[(&str, [u64; 3])]) -> String {
        let sources: Vec<_> = parts
            .iter()
            .map(|(label, parts)| Source {
                label: (*label).to_owned(),
                note: None,
                parts: parts.to_vec(),
            })
            .collect();
        let fates = ["mapped", "excluded", "refused"].map(|label| Fate { label, class: "good" });
        flow(&Flow {
            id: "f",
            title: "t",
            unit: "resources",
            sources: &sources,
            fates: &fates,
        })
        .into_string()
    }

    #[test]
    fn a_flow_says_its_sums_in_words() {
        let svg = drawn(&[("Patient", [1000, 0, 2]), ("Observation", [5, 1, 0])]);
        assert!(svg.contains("Of 1,008 resources: 1,005 mapped, 1 excluded, 2 refused."), "{svg}");
        assert_eq!(
            svg.matches("<path").count(),
            2 * 4,
            "one band for each part that is not nothing, in both sizes"
        );
        assert_eq!(
            svg.matches(r#"<path class="band fill-good"#).count(),
            2 * 4,
            "each in its fate's colour"
        );
    }

    #[test]
    fn the_smallest_part_beside_the_largest_can_still_be_seen_and_labels_have_room() {
        let svg = drawn(&[("Patient", [u64::from(u32::MAX), 0, 1]), ("Group", [0, 0, 0])]);
        assert!(svg.contains(r#"height="2.0""#), "{svg}");
        let (places, height) = stack([0.0, 0.0, THIN].into_iter());
        assert!(places.windows(2).all(|pair| pair[1].y - pair[0].y >= SLOT) && height >= 3.0 * SLOT);
    }

    #[test]
    fn names_are_escaped_and_long_ones_shortened() {
        let svg = drawn(&[("<b>&</b>", [1, 0, 0]), ("MedicationAdministrationRequestOrder", [1, 0, 0])]);
        assert!(!svg.contains("<b>"));
        assert!(svg.contains("MedicationAdminis…"));
        assert!(
            svg.contains("MedicationAdministrationRequestOrder to mapped"),
            "the whole name stands in the title"
        );
    }

    #[test]
    fn a_first_full_load_does_not_hide_the_nights_after_it() {
        assert_eq!(tallest(&[(12_000, 30), (100, 0), (120, 2), (90, 0)]), (366, true));
        assert_eq!(tallest(&[(300, 0), (100, 0), (120, 2)]), (300, false));
        assert_eq!(tallest(&[]), (1, false));
        let svg = bars("rows", &[(12_000, 30), (100, 0), (120, 2), (90, 0)]).into_string();
        assert!(
            svg.contains("the tallest bars are cut") && svg.matches("fill-sheet").count() == 1,
            "{svg}"
        );
    }

    #[test]
    fn no_style_attribute_breaks_the_content_policy() {
        assert!(!drawn(&[("a", [1, 2, 3])]).contains("style="));
        assert!(!bars("b", &[(1, 2), (0, 0)]).into_string().contains("style="));
    }
}
