//! The records of a chart that are not observations: enrollment, diagnosis, encounters, drugs, procedures, vaccines,
//! allergies and notes.

use base64::Engine;

use super::chart::{Activity, Chart, Order, Setting, Visit};
use super::clinic::STUDY;
use super::codes::{ALLERGIES, CVX, DRUGS, Disease, Drug, Group, ICD10CM, LOINC, SNOMED, VACCINES};
use super::error::SimulateError;
use super::json::{Decimal, Json, list, object};
use super::shapes::{bare_meta, coding, concept, date_time, day, days_later, hl7, instant, meta, minutes_later, quantity, reference};

impl Chart<'_> {
    /// Nine of ten patients take part in the registry.
    pub(super) fn enrollment(&mut self, first: &Visit, last: &Visit) -> Result<(), SimulateError> {
        if !self.dice.chance(90) {
            return Ok(());
        }
        let withdrawn = self.dice.chance(4);
        let subject = object! {
            "resourceType": "ResearchSubject",
            "id": self.new_id(),
            "meta": bare_meta(if withdrawn { last.recorded() } else { first.recorded() }),
            "identifier": list![object! { "system": "https://riverbend.example/study-number", "value": self.marker.number(self.dice.digits(6)) }],
            "status": if withdrawn { "withdrawn" } else { "on-study" },
            "period": Self::period(first.start, withdrawn.then_some(last.start)),
            "study": reference("ResearchStudy", STUDY),
            "individual": reference("Patient", &self.person.id),
        };
        self.write("ResearchSubject", subject)
    }

    /// The disease on the problem list, and for some a diagnosis of iron deficiency at a visit.
    pub(super) fn diagnosis(&mut self, first: &Visit) -> Result<(), SimulateError> {
        self.condition = self.new_id();
        let (code, name) = *self.dice.weighted(self.disease.icd10());
        let (snomed, snomed_name) = self.disease.snomed();
        let text = self.dice.chance(30).then(|| self.narrative("Problem list entry"));
        let onset = days_later(first.start.date(), -self.dice.between(10, 240)).max(days_later(self.person.birth, 120));
        let condition = object! {
            "resourceType": "Condition",
            "id": &self.condition,
            "meta": meta("us-core-condition-problems-health-concerns", first.recorded()),
            "text": text,
            "clinicalStatus": hl7("condition-clinical", "active", "Active"),
            "verificationStatus": hl7("condition-ver-status", "confirmed", "Confirmed"),
            "category": list![hl7("condition-category", "problem-list-item", "Problem List Item")],
            "code": object! { "coding": list![coding(ICD10CM, code, name), coding(SNOMED, snomed, snomed_name)], "text": name },
            "subject": self.subject(),
            "onsetDateTime": self.dice.chance(80).then(|| day(onset)),
            "recordedDate": date_time(first.start),
            "recorder": self.doctor(first),
        };
        self.write("Condition", condition)?;
        if !self.dice.chance(35) {
            return Ok(());
        }
        let anemia = object! {
            "resourceType": "Condition",
            "id": self.new_id(),
            "meta": meta("us-core-condition-encounter-diagnosis", first.recorded()),
            "clinicalStatus": hl7("condition-clinical", "active", "Active"),
            "verificationStatus": hl7("condition-ver-status", "confirmed", "Confirmed"),
            "category": list![hl7("condition-category", "encounter-diagnosis", "Encounter Diagnosis")],
            "code": concept(ICD10CM, "D50.9", "Iron deficiency anemia, unspecified"),
            "subject": self.subject(),
            "encounter": reference("Encounter", &first.id),
            "onsetDateTime": day(first.start.date()),
            "recordedDate": day(first.start.date()),
        };
        self.write("Condition", anemia)
    }

    pub(super) fn encounter(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let (class, class_name, kind, kind_name, place) = match visit.setting {
            Setting::Clinic => ("AMB", "ambulatory", "390906007", "Follow-up encounter", &self.clinic.outpatient),
            Setting::Ward => ("IMP", "inpatient encounter", "32485007", "Hospital admission", &self.clinic.ward),
            Setting::Emergency => ("EMER", "emergency", "50849002", "Emergency room admission", &self.clinic.emergency),
        };
        let text = self.dice.chance(15).then(|| self.narrative("Visit"));
        let id = visit.id.clone();
        let account = self.marker.number(self.dice.digits(9));
        let subject = self.subject();
        let encounter = object! {
            "resourceType": "Encounter",
            "id": id,
            "meta": meta("us-core-encounter", visit.recorded()),
            "text": text,
            "identifier": list![object! { "system": "https://riverbend.example/account", "value": account }],
            "status": "finished",
            "class": coding("http://terminology.hl7.org/CodeSystem/v3-ActCode", class, class_name),
            "type": list![concept(SNOMED, kind, kind_name)],
            "serviceType": concept(SNOMED, "394584008", "Gastroenterology"),
            "subject": subject,
            "participant": list![object! {
                "type": list![hl7("v3-ParticipationType", "PPRF", "primary performer")],
                "individual": self.doctor(visit),
            }],
            "period": Self::period(visit.start, Some(visit.end)),
            "reasonReference": list![reference("Condition", &self.condition)],
            "hospitalization": (visit.setting == Setting::Ward).then(|| object! {
                "admitSource": hl7("admit-source", "emd", "From accident/emergency department"),
                "dischargeDisposition": hl7("discharge-disposition", "home", "Home"),
            }),
            "location": list![object! { "location": reference("Location", place) }],
            "serviceProvider": reference("Organization", &self.clinic.hospital),
        };
        self.write("Encounter", encounter)
    }

    /// The drugs of the course: something to keep the disease quiet, steroids in flares, supplements.
    pub(super) fn medications(&mut self, visits: &[Visit]) -> Result<(), SimulateError> {
        let keep = match self.disease {
            Disease::Crohn => *self
                .dice
                .weighted(&[(60, Group::Biologic), (30, Group::Immunomodulator), (5, Group::SmallMolecule)]),
            Disease::Colitis | Disease::Unclassified => *self.dice.weighted(&[
                (45, Group::Aminosalicylate),
                (35, Group::Biologic),
                (10, Group::Immunomodulator),
                (6, Group::SmallMolecule),
            ]),
        };
        for (at, visit) in visits.iter().enumerate() {
            let mut groups = Vec::new();
            if at == 0 {
                groups.push((keep, visits.len() < 3 || self.dice.chance(75)));
            }
            if visit.activity >= Activity::Moderate {
                groups.push((Group::Steroid, false));
                if self.dice.chance(25) {
                    groups.push((Group::Antibiotic, false));
                }
            }
            if at == 1 && self.dice.chance(30) {
                groups.push((Group::Supplement, true));
            }
            for (group, goes_on) in groups {
                self.order(visit, group, goes_on)?;
            }
        }
        Ok(())
    }

    fn order(&mut self, visit: &Visit, group: Group, goes_on: bool) -> Result<(), SimulateError> {
        let candidates: Vec<usize> = (0..DRUGS.len()).filter(|at| DRUGS[*at].group == group).collect();
        // Infliximab and adalimumab lead among the biologics, as they do in clinics.
        let chosen = if group == Group::Biologic && self.dice.chance(60) {
            candidates[self.dice.below(2) as usize]
        } else {
            *self.dice.pick(&candidates)
        };
        let drug = &DRUGS[chosen];
        self.on_infliximab |= drug.name == "infliximab";
        let start = visit.start.date();
        let days = if goes_on { 365 } else { self.dice.between(14, 90) };
        let (name, medication) = self.medication(chosen);
        let status = if goes_on {
            "active"
        } else if self.dice.chance(70) {
            "completed"
        } else {
            "stopped"
        };
        let note = self.dice.chance(8).then(|| {
            let text = self.marker.tail(
                format!("Call {} at {} before the first dose.", self.person.given, self.person.phone),
                " ",
            );
            list![object! { "text": text }]
        });
        let id = self.new_id();
        self.orders.push(Order {
            id: id.clone(),
            drug: chosen,
            from: start,
        });
        let mut members = vec![
            ("resourceType", Json::from("MedicationRequest")),
            ("id", Json::from(id)),
            ("meta", meta("us-core-medicationrequest", visit.recorded())),
            ("status", Json::from(status)),
            (
                "statusReason",
                Json::from(
                    (status == "stopped").then(|| hl7("medicationrequest-status-reason", "clarif", "Prescription requires clarification")),
                ),
            ),
            ("intent", Json::from("order")),
            ("reportedBoolean", Json::from(false)),
            (name, medication),
            ("subject", self.subject()),
            ("encounter", reference("Encounter", &visit.id)),
            ("authoredOn", Json::from(date_time(minutes_later(visit.start, 20)))),
            ("requester", self.doctor(visit)),
            ("reasonReference", list![reference("Condition", &self.condition)]),
        ];
        members.push(("note", Json::from(note)));
        members.push(("dosageInstruction", list![dosage(drug)]));
        members.push((
            "dispenseRequest",
            object! { "validityPeriod": object! { "start": day(start), "end": day(days_later(start, days)) } },
        ));
        self.write("MedicationRequest", Json::Object(members))
    }

    /// A colonoscopy, at the diagnosis often with an upper endoscopy.
    pub(super) fn endoscopy(&mut self, visit: &Visit, number: usize) -> Result<(), SimulateError> {
        let at_diagnosis = number == 0;
        let mut procedures = vec![("73761001", "Colonoscopy")];
        if at_diagnosis && self.dice.chance(60) {
            procedures.push(("76009000", "Esophagogastroduodenoscopy"));
        }
        if !at_diagnosis && visit.setting == Setting::Ward && self.dice.chance(10) {
            procedures.push(("43075005", "Partial resection of colon"));
        }
        for (code, name) in procedures {
            let text = self.dice.chance(20).then(|| self.narrative("Procedure"));
            let id = self.new_id();
            if name == "Colonoscopy" {
                self.scopes.push((id.clone(), number));
            }
            let procedure = object! {
                "resourceType": "Procedure",
                "id": id,
                "meta": meta("us-core-procedure", visit.recorded()),
                "text": text,
                "status": "completed",
                "code": concept(SNOMED, code, name),
                "subject": self.subject(),
                "encounter": reference("Encounter", &visit.id),
                "performedPeriod": Self::period(minutes_later(visit.start, 30), Some(minutes_later(visit.start, 75))),
                "performer": list![object! { "actor": self.doctor(visit) }],
                "reasonReference": list![reference("Condition", &self.condition)],
            };
            self.write("Procedure", procedure)?;
        }
        Ok(())
    }

    pub(super) fn immunizations(&mut self, last: &Visit) -> Result<(), SimulateError> {
        for (cvx, name, years) in VACCINES {
            let given = days_later(self.person.birth, years * 366 + self.dice.between(40, 300));
            if given >= last.start.date() || self.dice.chance(25) {
                continue;
            }
            let moment = given.at(10, 0, 0, 0);
            let immunization = object! {
                "resourceType": "Immunization",
                "id": self.new_id(),
                "meta": meta("us-core-immunization", minutes_later(moment, 60)),
                "status": if self.dice.chance(96) { "completed" } else { "entered-in-error" },
                "vaccineCode": concept(CVX, cvx, name),
                "patient": self.subject(),
                "occurrenceDateTime": if self.dice.chance(80) { day(given) } else { date_time(moment) },
                "primarySource": self.dice.chance(70),
            };
            self.write("Immunization", immunization)?;
        }
        Ok(())
    }

    pub(super) fn allergies(&mut self, first: &Visit) -> Result<(), SimulateError> {
        let allergy = self.dice.chance(25).then(|| *self.dice.pick(ALLERGIES));
        let (code, name) = allergy.unwrap_or(("716186003", "No known allergy"));
        let resource = object! {
            "resourceType": "AllergyIntolerance",
            "id": self.new_id(),
            "meta": meta("us-core-allergyintolerance", first.recorded()),
            "clinicalStatus": hl7("allergyintolerance-clinical", "active", "Active"),
            "verificationStatus": hl7("allergyintolerance-verification", "confirmed", "Confirmed"),
            "type": allergy.map(|_| "allergy"),
            "category": list![allergy.map(|(_, name)| if name.ends_with("peanut") { "food" } else { "medication" })],
            "criticality": allergy.map(|_| "low"),
            "code": concept(SNOMED, code, name),
            "patient": self.subject(),
            "recordedDate": day(first.start.date()),
            "reaction": list![allergy.map(|_| object! {
                "manifestation": list![concept(SNOMED, "247472004", "Wheal")],
                "severity": "mild",
            })],
        };
        self.write("AllergyIntolerance", resource)
    }

    /// A progress note: text that is full of what must never leave.
    pub(super) fn note(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let person = &self.person;
        let guardian = person.guardian.as_ref().map_or("a relative", |guardian| guardian.given.as_str());
        let mut note = format!(
            "Progress note\nPatient: {name} (MRN {mrn}), born {birth}\nSeen on {seen} together with {guardian}.\nLives at {street}. \
             Reach the family at {phone} or {email}.\nAssessment: disease activity unchanged or as recorded; growth reviewed.\nPlan: labs \
             today, next visit in three months.\nSigned: {doctor}\n",
            name = person.name(),
            mrn = person.mrn,
            birth = day(person.birth),
            seen = day(visit.start.date()),
            street = person.street,
            phone = person.phone,
            email = person.email,
            doctor = self.clinic.doctors[visit.doctor].name,
        );
        note = self.marker.tail(note, "Reference: ");
        let data = base64::engine::general_purpose::STANDARD.encode(&note);
        // Base64 of the part that holds the patient's name: whoever copies the attachment copies this.
        if let Some(piece) = data.get(24..64) {
            self.marker.remember(piece);
        }
        let text = self.dice.chance(20).then(|| self.narrative("Progress note"));
        let id = self.new_id();
        let document = object! {
            "resourceType": "DocumentReference",
            "id": &id,
            "meta": meta("us-core-documentreference", visit.recorded()),
            "text": text,
            "identifier": list![object! { "system": "https://riverbend.example/document", "value": format!("urn:uuid:{id}") }],
            "status": "current",
            "type": concept(LOINC, "11506-3", "Progress note"),
            "category": list![object! {
                "coding": list![coding("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note", "Clinical Note")],
            }],
            "subject": self.subject(),
            "date": instant(minutes_later(visit.end, 30)),
            "author": list![self.doctor(visit)],
            "content": list![object! {
                "attachment": object! { "contentType": "text/plain", "data": data, "title": "Progress note" },
                "format": coding("http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode", "urn:ihe:iti:xds:2017:mimeTypeSufficient", "mimeType Sufficient"),
            }],
            "context": object! { "encounter": list![reference("Encounter", &visit.id)], "period": Self::period(visit.start, Some(visit.end)) },
        };
        self.write("DocumentReference", document)
    }
}

fn dosage(drug: &Drug) -> Json {
    let (route, route_name) = drug.route.code();
    let often = if drug.every_days == 1 {
        "every day".to_owned()
    } else {
        format!("every {} days", drug.every_days)
    };
    object! {
        "text": format!("{} {} {often}", drug.dose, drug.unit),
        "timing": object! { "repeat": object! { "frequency": 1i64, "period": drug.every_days, "periodUnit": "d" } },
        "route": concept(SNOMED, route, route_name),
        "doseAndRate": list![object! { "doseQuantity": quantity(Decimal::new(drug.dose * 10, 1), drug.unit) }],
    }
}
