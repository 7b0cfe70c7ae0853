//! What stands around a chart: who pays, who of the family is ill, too, who answers for a child; and what became of the
//! orders: given, handed out, taken, not tolerated.

use super::chart::{Chart, Setting, Visit};
use super::codes::{DRUGS, EVENTS, Group, ICD10CM, Route, SNOMED};
use super::error::SimulateError;
use super::json::{Decimal, Json, list, object};
use super::shapes::{bare_meta, coding, concept, date_time, day, days_later, hl7, meta, minutes_later, quantity, reference};

impl Chart<'_> {
    pub(super) fn family_and_payer(&mut self, first: &Visit) -> Result<(), SimulateError> {
        let guardian = self.guardian(first)?;
        let (code, name) = *self.dice.weighted(&[
            (52, ("5", "Private health insurance")),
            (38, ("2", "Medicaid")),
            (5, ("311", "TRICARE (CHAMPUS)")),
            (5, ("81", "Self-pay")),
        ]);
        let start = days_later(first.start.date(), -self.dice.between(30, 900));
        let number = self.marker.number(self.dice.digits(10));
        let relation = if guardian.is_some() { "child" } else { "self" };
        let coverage = object! {
            "resourceType": "Coverage",
            "id": self.new_id(),
            "meta": meta("us-core-coverage", first.recorded()),
            "status": "active",
            "type": object! { "coding": list![coding("https://nahdo.org/sopt", code, name)], "text": name },
            "subscriber": guardian.as_ref().map(|id| reference("RelatedPerson", id)),
            "subscriberId": number,
            "beneficiary": self.subject(),
            "relationship": hl7("subscriber-relationship", relation, relation),
            "period": object! { "start": day(start) },
            "payor": list![object! { "display": "Riverbend Health Plan" }],
        };
        self.write("Coverage", coverage)?;
        if !self.dice.chance(18) {
            return Ok(());
        }
        let (code, name) = *self
            .dice
            .pick(&[("MTH", "mother"), ("FTH", "father"), ("BRO", "brother"), ("SIS", "sister")]);
        let (disease, disease_name) = *self.dice.weighted(self.disease.icd10());
        let relative = self.marker.tail(format!("The {name} of {}", self.person.name()), " ");
        let history = object! {
            "resourceType": "FamilyMemberHistory",
            "id": self.new_id(),
            "meta": bare_meta(first.recorded()),
            "status": "completed",
            "patient": self.subject(),
            "date": day(first.start.date()),
            "name": relative,
            "relationship": hl7("v3-RoleCode", code, name),
            "condition": list![object! { "code": concept(ICD10CM, disease, disease_name) }],
        };
        self.write("FamilyMemberHistory", history)
    }

    /// The guardian as a resource of their own; its id.
    fn guardian(&mut self, first: &Visit) -> Result<Option<String>, SimulateError> {
        if self.person.guardian.is_none() {
            return Ok(None);
        }
        let (id, patient) = (self.new_id(), self.subject());
        let related = self
            .person
            .guardian
            .as_ref()
            .map(|guardian| guardian.related(&id, patient, first.recorded()));
        if let Some(related) = related {
            self.write("RelatedPerson", related)?;
        }
        self.related = Some(id.clone());
        Ok(Some(id))
    }

    /// What came of the orders.
    pub(super) fn drugs_taken(&mut self, visits: &[Visit]) -> Result<(), SimulateError> {
        let orders: Vec<(String, usize, jiff::civil::Date)> =
            self.orders.iter().map(|order| (order.id.clone(), order.drug, order.from)).collect();
        for (order, drug, from) in &orders {
            let infused = matches!(DRUGS[*drug].route, Route::Intravenous);
            for visit in visits.iter().filter(|visit| visit.start.date() >= *from) {
                // An infusion is given at every visit, a steroid only on the ward.
                let given = infused && (visit.setting == Setting::Ward || DRUGS[*drug].group == Group::Biologic);
                if given && self.dice.chance(85) {
                    self.administration(visit, order, *drug)?;
                }
            }
            if !infused && self.dice.chance(65) {
                self.dispense(order, *drug, *from)?;
            }
        }
        let (Some(last), Some((order, drug, from))) = (visits.last(), orders.first()) else {
            return Ok(());
        };
        if self.dice.chance(20) {
            self.statement(last)?;
        }
        if self.dice.chance(15) {
            let began = days_later(*from, 1).min(last.start.date());
            self.adverse_event(last, order, *drug, began)?;
        }
        Ok(())
    }

    fn administration(&mut self, visit: &Visit, order: &str, drug: usize) -> Result<(), SimulateError> {
        let (name, medication) = self.medication(drug);
        let (route, route_name) = DRUGS[drug].route.code();
        let start = minutes_later(visit.start, 40);
        let note = self.dice.chance(10).then(|| {
            let text = self.marker.tail(format!("{} was calm.", self.person.given), " ");
            list![object! { "text": text }]
        });
        let members = vec![
            ("resourceType", Json::from("MedicationAdministration")),
            ("id", Json::from(self.new_id())),
            ("meta", bare_meta(visit.recorded())),
            ("status", Json::from(if self.dice.chance(96) { "completed" } else { "stopped" })),
            (name, medication),
            ("subject", self.subject()),
            ("context", reference("Encounter", &visit.id)),
            ("effectivePeriod", Self::period(start, Some(minutes_later(start, 120)))),
            ("request", reference("MedicationRequest", order)),
            ("reasonReference", list![reference("Condition", &self.condition)]),
            ("note", Json::from(note)),
            (
                "dosage",
                object! {
                    "route": concept(SNOMED, route, route_name),
                    "dose": quantity(Decimal::new(DRUGS[drug].dose * 10, 1), DRUGS[drug].unit),
                },
            ),
        ];
        self.write("MedicationAdministration", Json::Object(members))
    }

    fn dispense(&mut self, order: &str, drug: usize, from: jiff::civil::Date) -> Result<(), SimulateError> {
        let (name, medication) = self.medication(drug);
        let handed = days_later(from, self.dice.between(0, 2)).at(17, 30, 0, 0);
        let days = self.dice.between(1, 3) * 28;
        let members = vec![
            ("resourceType", Json::from("MedicationDispense")),
            ("id", Json::from(self.new_id())),
            ("meta", meta("us-core-medicationdispense", minutes_later(handed, 30))),
            ("status", Json::from("completed")),
            (name, medication),
            ("subject", self.subject()),
            ("authorizingPrescription", list![reference("MedicationRequest", order)]),
            (
                "quantity",
                quantity(Decimal::new(days / DRUGS[drug].every_days.min(days), 0), "{dose}"),
            ),
            ("daysSupply", quantity(Decimal::new(days, 0), "d")),
            ("whenHandedOver", Json::from(date_time(handed))),
        ];
        self.write("MedicationDispense", Json::Object(members))
    }

    /// Something taken that nobody here ordered.
    fn statement(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let supplements: Vec<usize> = (0..DRUGS.len()).filter(|at| DRUGS[*at].group == Group::Supplement).collect();
        let chosen = *self.dice.pick(&supplements);
        let (name, medication) = self.medication(chosen);
        let since = days_later(visit.start.date(), -self.dice.between(20, 200));
        let members = vec![
            ("resourceType", Json::from("MedicationStatement")),
            ("id", Json::from(self.new_id())),
            ("meta", bare_meta(visit.recorded())),
            ("status", Json::from("active")),
            (name, medication),
            ("subject", self.subject()),
            ("context", reference("Encounter", &visit.id)),
            ("effectivePeriod", object! { "start": day(since) }),
            ("dateAsserted", Json::from(date_time(visit.start))),
        ];
        self.write("MedicationStatement", Json::Object(members))
    }

    fn adverse_event(&mut self, last: &Visit, order: &str, drug: usize, began: jiff::civil::Date) -> Result<(), SimulateError> {
        let (code, name) = *self.dice.pick(EVENTS);
        let serious = if self.dice.chance(15) { "serious" } else { "non-serious" };
        let severity = *self.dice.pick(&["mild", "moderate", "severe"]);
        let text = self
            .marker
            .tail(format!("{name} of {} after {}", self.person.name(), DRUGS[drug].name), " ");
        let event = object! {
            "resourceType": "AdverseEvent",
            "id": self.new_id(),
            "meta": bare_meta(last.recorded()),
            "actuality": "actual",
            "event": object! { "coding": list![coding(SNOMED, code, name)], "text": text },
            "subject": self.subject(),
            "date": day(began),
            "recordedDate": date_time(last.start),
            "seriousness": hl7("adverse-event-seriousness", serious, serious),
            "severity": hl7("adverse-event-severity", severity, severity),
            "outcome": hl7("adverse-event-outcome", "resolved", "Resolved"),
            "suspectEntity": list![object! { "instance": reference("MedicationRequest", order) }],
        };
        self.write("AdverseEvent", event)
    }
}
