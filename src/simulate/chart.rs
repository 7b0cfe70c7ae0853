//! The course of one patient: diagnosis, visits every three months or so, flares and remissions, admissions; and the
//! order in which the resources of a chart are written.
//! The medicine is plausible, not epidemiology: no rate here should be quoted.

use jiff::civil::Date;

use super::clinic::Clinic;
use super::codes::{DRUGS, Disease};
use super::dice::Dice;
use super::error::SimulateError;
use super::files::Files;
use super::json::{Json, object};
use super::marks::Marker;
use super::person::Person;
use super::shapes;
use super::shapes::{Moment, days_later, minutes_later, named_reference, narrative, reference};

/// How active the disease is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    Inactive,
    Mild,
    Moderate,
    Severe,
}

impl Activity {
    pub(super) fn level(self) -> i64 {
        self as i64
    }
}

/// Where a visit takes place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Clinic,
    Ward,
    Emergency,
}

/// One encounter.
pub(super) struct Visit {
    pub(super) id: String,
    pub(super) setting: Setting,
    pub(super) start: Moment,
    pub(super) end: Moment,
    pub(super) activity: Activity,
    /// Which of the clinic's doctors.
    pub(super) doctor: usize,
}

impl Visit {
    /// When the EHR last touched what was written at this visit.
    pub(super) fn recorded(&self) -> Moment {
        minutes_later(self.end, 240)
    }
}

/// One order of a drug.
pub(super) struct Order {
    pub(super) id: String,
    /// Which of `DRUGS`.
    pub(super) drug: usize,
    pub(super) from: Date,
}

/// How somebody grows.
pub(super) struct Build {
    /// Per mille of the average height.
    height: i64,
    /// Tenths of a BMI unit above or below the average.
    heft: i64,
}

impl Build {
    /// Millimetres at an age in months.
    pub(super) fn height_mm(&self, months: i64, female: bool) -> i64 {
        let average = match months {
            ..24 => 720 + months * 6,
            24..144 => 860 + (months - 24) * 52 / 10,
            144..200 if female => 1_484 + (months - 144) * 27 / 10,
            144..200 => 1_484 + (months - 144) * 49 / 10,
            _ if female => 1_635,
            _ => 1_758,
        };
        average * self.height / 1_000
    }

    /// Weight in units of 10 grams: active disease costs weight.
    pub(super) fn weight_10g(&self, months: i64, height_mm: i64, activity: Activity) -> i64 {
        let bmi_tenths = 158 + months.min(216) / 4 + self.heft - 6 * activity.level();
        bmi_tenths * height_mm * height_mm / 100_000
    }

    /// Height and BMI for age in hundredths of a standard deviation, near enough.
    pub(super) fn z_hundredths(&self, activity: Activity) -> (i64, i64) {
        ((self.height - 1_000) * 100 / 40, (self.heft - 6 * activity.level()) * 100 / 16)
    }
}

/// One patient's chart while it is being written.
pub(super) struct Chart<'c> {
    pub(super) clinic: &'c Clinic,
    pub(super) dice: Dice,
    pub(super) marker: &'c mut Marker,
    pub(super) person: Person,
    pub(super) disease: Disease,
    pub(super) build: Build,
    /// The id of the Condition that is the disease.
    pub(super) condition: String,
    pub(super) on_infliximab: bool,
    /// What was ordered so far.
    pub(super) orders: Vec<Order>,
    /// The id of the RelatedPerson who answers for the patient.
    pub(super) related: Option<String>,
    /// The colonoscopies so far: the procedure's id and the number of the visit.
    pub(super) scopes: Vec<(String, usize)>,
    /// The id made last.
    pub(super) last_id: String,
    files: &'c mut Files,
}

impl<'c> Chart<'c> {
    pub(super) fn new(clinic: &'c Clinic, today: Date, mut dice: Dice, marker: &'c mut Marker, files: &'c mut Files) -> Self {
        let person = Person::new(today, &mut dice, marker);
        let disease = *dice.weighted(&[(64, Disease::Crohn), (29, Disease::Colitis), (7, Disease::Unclassified)]);
        let build = Build {
            height: dice.around(920, 1_070),
            heft: dice.around(-22, 50),
        };
        Self {
            clinic,
            dice,
            marker,
            person,
            disease,
            build,
            condition: String::new(),
            on_infliximab: false,
            orders: Vec::new(),
            related: None,
            scopes: Vec::new(),
            last_id: String::new(),
            files,
        }
    }

    /// Writes the whole chart as of `today`.
    pub(super) fn write_all(&mut self, today: Date) -> Result<(), SimulateError> {
        let visits = self.visits(today);
        let (Some(first), Some(last)) = (visits.first(), visits.last()) else {
            return Ok(());
        };
        let with_narrative = self.dice.chance(50);
        let patient = self.person.resource(minutes_later(last.recorded(), -90), with_narrative);
        self.write("Patient", patient)?;
        self.enrollment(first, last)?;
        self.diagnosis(first)?;
        self.allergies(first)?;
        self.immunizations(last)?;
        self.medications(&visits)?;
        for (at, visit) in visits.iter().enumerate() {
            self.encounter(visit)?;
            self.vitals(visit)?;
            if visit.setting == Setting::Clinic {
                self.scores(visit)?;
            }
            self.labs(visit)?;
            if at == 0 || (visit.activity >= Activity::Moderate && self.dice.chance(20)) {
                self.endoscopy(visit, at)?;
            }
            if self.dice.chance(40) {
                self.note(visit)?;
            }
        }
        // Last, so that what stands before them is the same with them and without.
        self.family_and_payer(first)?;
        self.drugs_taken(&visits)?;
        self.assessments(&visits)
    }

    /// The visits, oldest first: two to six and one more in the clinic, three months apart, with an admission now and then.
    fn visits(&mut self, today: Date) -> Vec<Visit> {
        let count = self.dice.between(2, 6);
        let age = i64::from(shapes::day_count(self.person.birth, today));
        let mut visits = Vec::new();
        let mut activity = *self.dice.pick(&[Activity::Moderate, Activity::Severe, Activity::Mild]);
        // Nobody is seen before they are a year and a half old.
        let span = (count * 91).min(age - 550);
        let mut date = days_later(today, -span);
        let last = days_later(today, -3);
        while date <= last {
            let visit = self.visit(Setting::Clinic, date, activity);
            visits.push(visit);
            if activity == Activity::Severe && self.dice.chance(45) {
                let setting = if self.dice.chance(60) { Setting::Ward } else { Setting::Emergency };
                let later = days_later(date, self.dice.between(2, 15));
                if days_later(later, 10) <= last {
                    let visit = self.visit(setting, later, activity);
                    visits.push(visit);
                }
            }
            date = days_later(date, self.dice.between(78, 105));
            activity = *self.dice.weighted(&[
                (if activity == Activity::Inactive { 60 } else { 35 }, Activity::Inactive),
                (28, Activity::Mild),
                (14, Activity::Moderate),
                (6, Activity::Severe),
            ]);
        }
        visits
    }

    fn visit(&mut self, setting: Setting, date: Date, activity: Activity) -> Visit {
        let hour = self.dice.between(8, 16);
        let quarter = self.dice.below(4) as i64 * 15;
        let start = minutes_later(date.to_datetime(jiff::civil::Time::midnight()), hour * 60 + quarter);
        let end = match setting {
            Setting::Clinic => minutes_later(start, self.dice.between(25, 55)),
            Setting::Emergency => minutes_later(start, self.dice.between(120, 540)),
            Setting::Ward => minutes_later(start, self.dice.between(2 * 24 * 60, 8 * 24 * 60)),
        };
        Visit {
            id: self.new_id(),
            setting,
            start,
            end,
            activity,
            doctor: self.dice.below(self.clinic.doctors.len() as u64) as usize,
        }
    }

    /// A new id, remembered as one that identifies the patient's resources.
    pub(super) fn new_id(&mut self) -> String {
        let id = self.dice.id();
        self.marker.remember(&id);
        self.last_id.clone_from(&id);
        id
    }

    /// The reference to the patient, now and then with their name.
    pub(super) fn subject(&mut self) -> Json {
        if self.dice.chance(10) {
            named_reference("Patient", &self.person.id, &self.person.name())
        } else {
            reference("Patient", &self.person.id)
        }
    }

    /// A narrative with the patient's name in it.
    pub(super) fn narrative(&mut self, title: &str) -> Json {
        let sentence = format!("{title} of {}, MRN {}", self.person.name(), self.person.mrn);
        narrative(&[self.marker.tail(sentence, " ")])
    }

    pub(super) fn doctor(&self, visit: &Visit) -> Json {
        let doctor = &self.clinic.doctors[visit.doctor];
        named_reference("Practitioner", &doctor.id, &doctor.name)
    }

    /// The drug as a concept or, in three of ten orders, as a reference to the formulary.
    pub(super) fn medication(&mut self, drug: usize) -> (&'static str, Json) {
        if self.dice.chance(30) {
            ("medicationReference", reference("Medication", &self.clinic.formulary[drug]))
        } else {
            let drug = &DRUGS[drug];
            (
                "medicationCodeableConcept",
                shapes::concept(super::codes::RXNORM, drug.rxnorm, drug.name),
            )
        }
    }

    pub(super) fn write(&mut self, kind: &'static str, resource: Json) -> Result<(), SimulateError> {
        self.files.write(kind, &resource)
    }

    /// A period; without an end it goes on.
    pub(super) fn period(start: Moment, end: Option<Moment>) -> Json {
        object! { "start": shapes::date_time(start), "end": end.map(shapes::date_time) }
    }
}
