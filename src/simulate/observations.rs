//! Observations of one visit: vital signs, laboratory results, activity scores.

use super::chart::{Activity, Chart, Visit};
use super::codes::{ACTIVITY, Disease, INFLIXIMAB_LEVEL, LABS, LOINC, Lab, PGA, Panel};
use super::error::SimulateError;
use super::json::{Decimal, Json, list, object};
use super::shapes;
use super::shapes::{coding, concept, date_time, hl7, instant, meta, minutes_later, quantity, reference};

impl Chart<'_> {
    /// Height, weight, BMI, heart rate and blood pressure.
    pub(super) fn vitals(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let months = i64::from(shapes::day_count(self.person.birth, visit.start.date())) * 12 / 365;
        let height = self.build.height_mm(months, self.person.female);
        let weight = self.build.weight_10g(months, height, visit.activity);
        let bmi = weight * 1_000_000 / (height * height);
        let pulse = self.dice.around(110, 150) - months.min(200) / 3 + visit.activity.level() * 4;
        self.vital(
            visit,
            "us-core-body-height",
            ("8302-2", "Body height"),
            (Decimal::new(height, 1), "cm"),
        )?;
        self.vital(
            visit,
            "us-core-body-weight",
            ("29463-7", "Body weight"),
            (Decimal::new(weight, 2), "kg"),
        )?;
        self.vital(
            visit,
            "us-core-bmi",
            ("39156-5", "Body mass index (BMI) [Ratio]"),
            (Decimal::new(bmi, 2), "kg/m2"),
        )?;
        self.vital(
            visit,
            "us-core-heart-rate",
            ("8867-4", "Heart rate"),
            (Decimal::new(pulse, 0), "/min"),
        )?;
        self.blood_pressure(visit, months)
    }

    fn vital(&mut self, visit: &Visit, profile: &str, code: (&str, &str), value: (Decimal, &str)) -> Result<(), SimulateError> {
        let mut members = self.observation(
            visit,
            profile,
            hl7("observation-category", "vital-signs", "Vital Signs"),
            concept(LOINC, code.0, code.1),
        );
        members.push(("valueQuantity", quantity(value.0, value.1)));
        self.write("Observation", Json::Object(members))
    }

    fn blood_pressure(&mut self, visit: &Visit, months: i64) -> Result<(), SimulateError> {
        let systolic = self.dice.around(84, 112) + months.min(200) / 20;
        let diastolic = self.dice.around(50, 72) + months.min(200) / 30;
        let part = |code: &str, name: &str, value: i64| {
            object! {
                "code": concept(LOINC, code, name),
                "valueQuantity": object! {
                    "value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]",
                },
            }
        };
        let panel = concept(LOINC, "85354-9", "Blood pressure panel with all children optional");
        let mut members = self.observation(
            visit,
            "us-core-blood-pressure",
            hl7("observation-category", "vital-signs", "Vital Signs"),
            panel,
        );
        let parts = list![
            part("8480-6", "Systolic blood pressure", systolic),
            part("8462-4", "Diastolic blood pressure", diastolic)
        ];
        members.push(("component", parts));
        self.write("Observation", Json::Object(members))
    }

    /// The global assessment, and the reported total of the disease's own index.
    pub(super) fn scores(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let survey = || hl7("observation-category", "survey", "Survey");
        let (grade, name) = visit.activity.grade();
        let code = concept(ACTIVITY, "pga", "Physician global assessment");
        let mut members = self.observation(visit, "us-core-observation-screening-assessment", survey(), code);
        members.push(("valueCodeableConcept", concept(PGA, grade, name)));
        self.write("Observation", Json::Object(members))?;

        let (code, name, steps) = match self.disease {
            Disease::Crohn if self.person.mrn.ends_with(['1', '4', '7']) => {
                ("wpcdai", "Weighted PCDAI total", [(0, 2), (3, 7), (8, 11), (12, 20)])
            }
            Disease::Crohn => ("spcdai", "Short PCDAI total", [(0, 2), (3, 5), (6, 8), (9, 14)]),
            Disease::Colitis | Disease::Unclassified => ("pucai", "PUCAI total", [(0, 1), (2, 6), (7, 12), (13, 17)]),
        };
        let (low, high) = steps[visit.activity as usize];
        let total = self.dice.between(low, high) * 5;
        let mut members = self.observation(
            visit,
            "us-core-observation-screening-assessment",
            survey(),
            concept(ACTIVITY, code, name),
        );
        members.push(("valueInteger", Json::from(total)));
        self.write("Observation", Json::Object(members))
    }

    /// The visit's laboratory results and the reports that hold them.
    pub(super) fn labs(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let (blood_count, chemistry) = (self.dice.chance(70), self.dice.chance(60));
        let mut counts = Vec::new();
        let mut chemistries = Vec::new();
        for lab in LABS {
            let drawn = match lab.panel {
                Panel::BloodCount => blood_count,
                Panel::Chemistry => chemistry,
                Panel::Alone => self.dice.chance(45),
            };
            if drawn {
                let id = self.lab(visit, lab)?;
                match lab.panel {
                    Panel::BloodCount => counts.push(reference("Observation", &id)),
                    Panel::Chemistry => chemistries.push(reference("Observation", &id)),
                    Panel::Alone => {}
                }
            }
        }
        if self.on_infliximab && self.dice.chance(40) {
            self.lab(visit, &INFLIXIMAB_LEVEL)?;
        }
        if blood_count {
            self.report(visit, ("58410-2", "CBC panel - Blood by Automated count"), counts)?;
        }
        if chemistry {
            self.report(
                visit,
                ("24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma"),
                chemistries,
            )?;
        }
        Ok(())
    }

    fn lab(&mut self, visit: &Visit, lab: &Lab) -> Result<String, SimulateError> {
        let (low, high) = if visit.activity.level() >= 1 && self.dice.chance(70) {
            lab.active
        } else {
            lab.quiet
        };
        // Where there is a limit of detection, the ends matter as much as the middle.
        let measured = if lab.detection == (None, None) {
            self.dice.around(low, high)
        } else {
            self.dice.between(low, high)
        };
        let (value, comparator) = match lab.detection {
            (Some(least), _) if measured < least => (least, Some("<")),
            (_, Some(most)) if measured > most => (most, Some(">")),
            _ => (measured, None),
        };
        let (flag, flag_name) = match (lab.low, lab.high) {
            (Some(low), _) if value < low => ("L", "Low"),
            (_, Some(high)) if value > high => ("H", "High"),
            _ => ("N", "Normal"),
        };
        // One laboratory in seven still reports C-reactive protein per decilitre.
        let per_decilitre = lab.loinc == "1988-5" && self.person.mrn.ends_with('5');
        let (unit, scale) = if per_decilitre {
            ("mg/dL", lab.scale + 1)
        } else {
            (lab.unit, lab.scale)
        };
        let range = object! {
            "low": lab.low.map(|low| quantity(Decimal::new(low, scale), unit)),
            "high": lab.high.map(|high| quantity(Decimal::new(high, scale), unit)),
        };
        let category = hl7("observation-category", "laboratory", "Laboratory");
        let mut members = self.observation(visit, "us-core-observation-lab", category, self.lab_code(lab));
        let id = self.last_id.clone();
        members.push(("issued", Json::from(instant(minutes_later(visit.start, 200)))));
        members.push(("performer", list![reference("Organization", &self.clinic.laboratory)]));
        members.push((
            "valueQuantity",
            object! {
                "value": Decimal::new(value, scale),
                "comparator": comparator,
                "unit": unit,
                "system": "http://unitsofmeasure.org",
                "code": unit,
            },
        ));
        members.push(("interpretation", list![hl7("v3-ObservationInterpretation", flag, flag_name)]));
        if self.dice.chance(3) {
            let note = self
                .marker
                .tail(format!("Discussed with the family of {}.", self.person.name()), " ");
            members.push(("note", list![object! { "text": note }]));
        }
        members.push(("referenceRange", list![range]));
        self.write("Observation", Json::Object(members))?;
        Ok(id)
    }

    /// LOINC, and at times the laboratory's own code beside it, as feeds have it.
    fn lab_code(&self, lab: &Lab) -> Json {
        let local = self.person.mrn.ends_with('3').then(|| {
            coding(
                "https://riverbend.example/lab-codes",
                &format!("LAB{}", lab.loinc.replace('-', "")),
                lab.name,
            )
        });
        object! { "coding": list![local, coding(LOINC, lab.loinc, lab.name)], "text": lab.name }
    }

    fn report(&mut self, visit: &Visit, code: (&str, &str), results: Vec<Json>) -> Result<(), SimulateError> {
        let text = self.dice.chance(20).then(|| self.narrative("Laboratory report"));
        let id = self.new_id();
        let conclusion = self
            .dice
            .chance(15)
            .then(|| self.marker.tail(format!("Results of {} reviewed.", self.person.name()), " "));
        let report = object! {
            "resourceType": "DiagnosticReport",
            "id": id,
            "meta": meta("us-core-diagnosticreport-lab", visit.recorded()),
            "text": text,
            "status": "final",
            "category": list![hl7("v2-0074", "LAB", "Laboratory")],
            "code": concept(LOINC, code.0, code.1),
            "subject": self.subject(),
            "encounter": reference("Encounter", &visit.id),
            "effectiveDateTime": date_time(visit.start),
            "issued": instant(minutes_later(visit.start, 210)),
            "performer": list![reference("Organization", &self.clinic.laboratory)],
            "result": results,
            "conclusion": conclusion,
        };
        self.write("DiagnosticReport", report)
    }

    /// The members all observations share, with a new id (kept in `last_id`); the value is the caller's to add.
    pub(super) fn observation(&mut self, visit: &Visit, profile: &str, category: Json, code: Json) -> Vec<(&'static str, Json)> {
        let id = self.new_id();
        vec![
            ("resourceType", Json::from("Observation")),
            ("id", Json::from(id)),
            ("meta", meta(profile, visit.recorded())),
            ("status", Json::from(if self.dice.chance(97) { "final" } else { "amended" })),
            ("category", list![category]),
            ("code", code),
            ("subject", self.subject()),
            ("encounter", reference("Encounter", &visit.id)),
            ("effectiveDateTime", Json::from(date_time(minutes_later(visit.start, 12)))),
        ]
    }
}

impl Activity {
    /// Code and name of the global assessment.
    fn grade(self) -> (&'static str, &'static str) {
        match self {
            Self::Inactive => ("inactive", "Inactive"),
            Self::Mild => ("mild", "Mild"),
            Self::Moderate => ("moderate", "Moderate"),
            Self::Severe => ("severe", "Severe"),
        }
    }
}
