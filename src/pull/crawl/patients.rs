//! Searches patient by patient: some patients at a time, their resources in one unit, entered together with their states.
//! A patient whose search fails for now is put off; one that fails twice is given up, and its types are not whole.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::super::error::PullError;
use super::super::settings::{Method, Progress};
use super::basket::Basket;
use super::errand::{Answer, End, Errand, REFUSED, take};
use super::query::{self, Window};
use super::rows::{Patient, State, Way};

/// Patients of one unit, at most.
const BATCH: usize = 50;
const EVERYTHING: &str = "$everything";
/// Plain bytes after which a unit is entered though patients are left.
const UNIT_BYTES: u64 = 32 << 20;
/// Calls in which a patient is tried.
const TRIES: u32 = 2;

/// Searches for every open patient of the cohort.
/// # Errors: nothing more can be done now. What was entered stays; the rest is open.
pub(super) async fn search(errand: &Errand<'_>) -> Result<(), PullError> {
    let types = errand.journal.types()?;
    let types = types.into_iter().filter(|row| row.way == Way::Patient && row.refused.is_none());
    let walk = Walk {
        errand,
        types: types.map(|row| row.name).collect(),
        after: AtomicI64::new(0),
        done: AtomicU64::new(0),
    };
    // A patient that goes on under another id joins the cohort while it is searched.
    loop {
        let (open, total) = errand.journal.patient_counts()?;
        let before = walk.after.load(Ordering::Relaxed);
        if open == 0 || errand.journal.open_patients(before, 1)?.is_empty() {
            return Ok(());
        }
        walk.done.store(total - open, Ordering::Relaxed);
        let workers = errand.concurrency();
        let share = usize::try_from(open).unwrap_or(BATCH).div_ceil(workers).clamp(1, BATCH);
        let mut work = Vec::with_capacity(workers);
        for _ in 0..workers {
            work.push(walk.work(share, total));
        }
        futures_util::future::try_join_all(work).await?;
    }
}

struct Walk<'a> {
    errand: &'a Errand<'a>,
    types: Vec<String>,
    /// Patients up to here are taken by some worker.
    after: AtomicI64,
    done: AtomicU64,
}

impl Walk<'_> {
    async fn work(&self, share: usize, total: u64) -> Result<(), PullError> {
        loop {
            // No await between the look and the step: no two workers take the same patients.
            let after = self.after.load(Ordering::Relaxed);
            let patients = self.errand.journal.open_patients(after, share)?;
            let Some(last) = patients.last() else { return Ok(()) };
            if self
                .after
                .compare_exchange(after, last.seq, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            self.unit(&patients, total).await?;
        }
    }

    async fn unit(&self, patients: &[Patient], total: u64) -> Result<(), PullError> {
        let errand = self.errand;
        let mut slot = Some(Basket::new(&errand.sieve));
        for patient in patients {
            let state = self.patient(&mut slot, patient).await;
            let mut basket = slot.take().ok_or(PullError::Interrupted)?;
            let failed = match state {
                Ok(state) => {
                    basket.entry.patients.push((patient.seq, patient.id.clone(), state));
                    None
                }
                Err(error) => Some(error),
            };
            if failed.is_some() || basket.bytes() >= UNIT_BYTES {
                // What is whole by now is kept even when the EHR is gone: the next call need not ask for it again.
                let done = basket.entry.patients.len() as u64;
                errand.enter(basket).await?;
                self.told(done, total);
                if let Some(error) = failed {
                    return Err(error);
                }
                basket = Basket::new(&errand.sieve);
            }
            slot = Some(basket);
        }
        let basket = slot.take().ok_or(PullError::Interrupted)?;
        let done = basket.entry.patients.len() as u64;
        errand.enter(basket).await?;
        self.told(done, total);
        Ok(())
    }

    fn told(&self, done: u64, total: u64) {
        let done = self.done.fetch_add(done, Ordering::Relaxed) + done;
        let resources = self.errand.resources.load(Ordering::Relaxed);
        (self.errand.listener)(Progress::Crawling { done, total, resources });
    }

    async fn patient(&self, slot: &mut Option<Basket>, patient: &Patient) -> Result<State, PullError> {
        let errand = self.errand;
        if !patient.landed && self.types.iter().any(|name| name == "Patient") {
            let state = self.read(slot, patient).await?;
            if state != State::Done {
                return Ok(state);
            }
        }
        if errand.settings.method == Method::Everything {
            return self.everything(slot, patient).await;
        }
        let mut worst = State::Done;
        for name in self.types.iter().filter(|name| *name != "Patient") {
            worst = worse(worst, self.of_type(slot, patient, name).await?);
        }
        Ok(worst)
    }

    /// The Patient itself: is it still there, and is it still itself?
    async fn read(&self, slot: &mut Option<Basket>, patient: &Patient) -> Result<State, PullError> {
        let errand = self.errand;
        let url = query::address(&errand.settings.base, &["Patient", &patient.id])?;
        match errand.get("the read of a Patient", &url, "application/fhir+json").await? {
            Answer::Body(body, _) => {
                let id = patient.id.clone();
                match take(slot, move |basket| basket.single(&body, "Patient", &id)).await? {
                    Ok(taken) if taken.merged => Ok(State::Merged),
                    Ok(_) => Ok(State::Done),
                    Err(why) => Ok(fail(slot, "Patient", why)),
                }
            }
            Answer::Refused { status: 410, .. } => {
                let id = patient.id.clone();
                note(slot, "patients of the cohort are deleted in the EHR", false);
                let deleted = take(slot, move |basket| basket.deleted(&id).map(|()| super::basket::Taken::default())).await?;
                Ok(deleted.map_or_else(|why| fail(slot, "Patient", why), |_| State::Gone))
            }
            Answer::Refused { status: 404, .. } => {
                // Deleted, merged away, or merely not shown to us: nobody can say, so nothing is proven of anybody.
                note(
                    slot,
                    "patients of the cohort are not known to the EHR, or not shown to this client",
                    true,
                );
                short_of_all(slot, &self.types);
                Ok(State::Gone)
            }
            Answer::Refused { status, codes } => {
                sentence(slot, refused_words("Patient", status, &codes));
                Ok(fail(slot, "Patient", "the read of a Patient is refused"))
            }
            Answer::Odd(why) => Ok(fail(slot, "Patient", why)),
            Answer::Later(_) => Ok(self.later(slot, patient, "Patient")),
        }
    }

    async fn of_type(&self, slot: &mut Option<Basket>, patient: &Patient, name: &str) -> Result<State, PullError> {
        let errand = self.errand;
        let refusals = errand.refusals_of(name);
        if refusals.in_a_row >= REFUSED && !refusals.ever_answered {
            add_failure(slot, name);
            return Ok(State::Failed);
        }
        let Some(parameter) = query::parameter(name, errand.capability) else {
            return Ok(State::Done);
        };
        let mut window = errand.window(name, patient.known);
        if refusals.no_window {
            window = Window::default();
        }
        let medication = errand.sieve.referred.contains("Medication");
        let include = query::include(name, errand.capability, medication);
        let (base, vendor) = (&errand.settings.base, &errand.settings.vendor);
        let by = Some((parameter, patient.id.as_str()));
        let first = query::search(base, name, by, window, vendor, include)?;
        if let Some(basket) = slot {
            basket.patient = Some(patient.id.clone());
        }
        let mut end = errand.search(slot, first, Some(name)).await?;
        if window != Window::default()
            && !refusals.ever_answered
            && matches!(
                end,
                End::Refused {
                    status: 400 | 422 | 501,
                    ..
                }
            )
        {
            // It may be the window that is not taken: then the type comes whole, which leaves nothing out.
            let first = query::search(base, name, by, Window::default(), vendor, include)?;
            end = errand.search(slot, first, Some(name)).await?;
            if !matches!(end, End::Refused { .. }) {
                errand.refusals().entry(name.to_owned()).or_default().no_window = true;
            }
        }
        Ok(self.ended(slot, patient, name, end))
    }

    async fn everything(&self, slot: &mut Option<Basket>, patient: &Patient) -> Result<State, PullError> {
        let errand = self.errand;
        let refusals = errand.refusals_of(EVERYTHING);
        if refusals.in_a_row >= REFUSED && !refusals.ever_answered {
            short_of_all(slot, &self.types);
            return Ok(State::Failed);
        }
        let names = if errand.settings.types.is_empty() {
            &[][..]
        } else {
            &self.types[..]
        };
        // One request can name one moment: the earliest leaves out nothing of any type.
        let since = errand.request.earliest(&self.types);
        let filters = errand.settings.vendor.search_last_updated && patient.known;
        let window = Window {
            since: since.filter(|_| filters),
            until: None,
        };
        let first = query::everything(&errand.settings.base, &patient.id, names, window, &errand.settings.vendor)?;
        let end = errand.search(slot, first, None).await?;
        let whole = matches!(end, End::Whole);
        let state = self.ended(slot, patient, EVERYTHING, end);
        if !whole {
            short_of_all(slot, &self.types);
        }
        if let Some(basket) = slot {
            // It is no type: what it lacks, all types lack.
            basket.entry.types.remove(EVERYTHING);
        }
        Ok(state)
    }

    fn ended(&self, slot: &mut Option<Basket>, patient: &Patient, name: &str, end: End) -> State {
        let errand = self.errand;
        match end {
            End::Whole | End::Short(_) => {
                let mut refusals = errand.refusals();
                let refusals = refusals.entry(name.to_owned()).or_default();
                (refusals.in_a_row, refusals.ever_answered) = (0, true);
            }
            End::Refused { .. } => errand.refusals().entry(name.to_owned()).or_default().in_a_row += 1,
            End::Later => {}
        }
        match end {
            End::Whole => State::Done,
            End::Short(why) => fail(slot, name, why),
            End::Later => self.later(slot, patient, name),
            End::Refused { status, codes } => {
                if errand.settings.types.is_empty() && matches!(status, 400 | 404 | 405 | 501) {
                    // Asked for everything, the EHR is asked for what it may not have at all.
                    note(slot, "searches of types that nobody asked for by name are not offered", false);
                } else {
                    sentence(slot, refused_words(name, status, &codes));
                }
                let refusals = errand.refusals_of(name);
                if refusals.in_a_row >= REFUSED
                    && !refusals.ever_answered
                    && let Some(basket) = slot
                {
                    basket.entry.types.entry(name.to_owned()).or_default().refused = Some(status);
                }
                add_failure(slot, name);
                State::Failed
            }
        }
    }

    fn later(&self, slot: &mut Option<Basket>, patient: &Patient, name: &str) -> State {
        if patient.tries + 1 < TRIES {
            return State::Open;
        }
        fail(slot, name, "the EHR answers its search with an error again and again")
    }
}

impl Errand<'_> {
    /// What a search of `name` may leave out: nothing, for a patient no earlier run searched whole.
    pub(super) fn window(&self, name: &str, known: bool) -> Window {
        if !self.settings.vendor.search_last_updated {
            return Window::default();
        }
        Window {
            since: self.request.since_of(name).filter(|_| known),
            until: self.request.until,
        }
    }
}

/// The worst of two fates: what may come later is tried again, whatever else failed.
fn worse(one: State, other: State) -> State {
    match (one, other) {
        (State::Open, _) | (_, State::Open) => State::Open,
        (State::Failed, _) | (_, State::Failed) => State::Failed,
        _ => other,
    }
}

/// Why a type is refused, and what to do.
pub(super) fn refused_words(name: &str, status: u16, codes: &str) -> String {
    let hint = match status {
        401 => "it does not accept the token it gave; tell its owner",
        403 => "the client lacks the scope for it; ask the EHR's owner",
        400 | 422 => "it does not take these parameters; see the vendor profile's `search_parameters`",
        404 | 405 | 501 => "it does not offer this search",
        _ => "see the EHR's log",
    };
    format!("`{name}` is refused: the EHR answers its search with {status}{codes}; {hint}")
}

fn add_failure(slot: &mut Option<Basket>, name: &str) {
    if let Some(basket) = slot {
        basket.entry.types.entry(name.to_owned()).or_default().failures += 1;
    }
}

fn short_of_all(slot: &mut Option<Basket>, types: &[String]) {
    types.iter().for_each(|name| add_failure(slot, name));
}

pub(super) fn sentence(slot: &mut Option<Basket>, sentence: String) {
    if let Some(basket) = slot {
        *basket.entry.sentences.entry(sentence).or_default() += 1;
    }
}

fn note(slot: &mut Option<Basket>, note: &'static str, problem: bool) {
    if let Some(basket) = slot {
        *basket.entry.notes.entry((note, problem)).or_default() += 1;
    }
}

/// The type is not all there, for a reason that is told.
pub(super) fn fail(slot: &mut Option<Basket>, name: &str, why: &str) -> State {
    sentence(slot, format!("`{name}` is not all there: {why}"));
    add_failure(slot, name);
    State::Failed
}
