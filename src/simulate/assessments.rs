//! What a registry's own forms ask for: the Paris classification, growth, the answers behind a score, endoscopic scores,
//! what patients report, tobacco, metaboliser status. Some sites keep them as observations, some as answered questionnaires.

use super::chart::{Activity, Chart, Setting, Visit};
use super::codes::{
    ANSWER, DRUGS, Disease, ENDOSCOPY, GROWTH, GROWTH_CATEGORY, LOINC, METABOLISER, METABOLISER_STATUS, PARIS, PARIS_CLASS, QUESTIONNAIRE,
    REPORTED, SNOMED,
};
use super::error::SimulateError;
use super::json::{Decimal, Json, list, object};
use super::shapes::{coding, concept, date_time, day_count, hl7, meta, minutes_later, quantity, reference};

const SCREENING: &str = "us-core-observation-screening-assessment";

impl Chart<'_> {
    pub(super) fn assessments(&mut self, visits: &[Visit]) -> Result<(), SimulateError> {
        let Some(first) = visits.first() else { return Ok(()) };
        if self.dice.chance(80) {
            self.phenotype(first)?;
        }
        if self.years(first) >= 12 && self.dice.chance(60) {
            let answer = concept(SNOMED, "266919005", "Never smoked tobacco");
            let members = self.coded(
                first,
                "social-history",
                concept(LOINC, "72166-2", "Tobacco smoking status"),
                "valueCodeableConcept",
                answer,
            );
            self.write("Observation", members)?;
        }
        let thiopurine = self
            .orders
            .iter()
            .any(|order| matches!(DRUGS[order.drug].name, "azathioprine" | "mercaptopurine"));
        if self.dice.chance(if thiopurine { 80 } else { 15 }) {
            let status = *self.dice.weighted(&[(88, "normal"), (11, "intermediate"), (1, "poor")]);
            let code = concept(METABOLISER, "tpmt-phenotype", "TPMT metaboliser status");
            let members = self.coded(
                first,
                "laboratory",
                code,
                "valueCodeableConcept",
                concept(METABOLISER_STATUS, status, status),
            );
            self.write("Observation", members)?;
        }
        for (procedure, number) in std::mem::take(&mut self.scopes) {
            if let Some(visit) = visits.get(number) {
                self.endoscopy_score(visit, &procedure)?;
            }
        }
        for visit in visits.iter().filter(|visit| visit.setting == Setting::Clinic) {
            if self.dice.chance(60) {
                self.growth(visit)?;
            }
            if self.dice.chance(40) {
                self.score_sheet(visit)?;
            }
            if self.years(visit) >= 5 && self.dice.chance(35) {
                self.reported(visit)?;
            }
        }
        Ok(())
    }

    fn years(&self, visit: &Visit) -> i32 {
        day_count(self.person.birth, visit.start.date()) / 365
    }

    /// An observation with one value.
    fn coded(&mut self, visit: &Visit, category: &str, code: Json, name: &'static str, value: Json) -> Json {
        let profile = if category == "laboratory" {
            "us-core-observation-lab"
        } else {
            SCREENING
        };
        let mut members = self.observation(visit, profile, hl7("observation-category", category, category), code);
        members.push((name, value));
        Json::Object(members)
    }

    fn phenotype(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let age = match self.years(visit) {
            ..10 => "A1a",
            10..17 => "A1b",
            _ => "A2",
        };
        let mut classes = vec![("age-at-dx", age)];
        if self.disease == Disease::Crohn {
            classes.push(("cd-location", *self.dice.weighted(&[(2, "L1"), (3, "L2"), (5, "L3")])));
            classes.push(("cd-upper", *self.dice.weighted(&[(5, "none"), (4, "L4a"), (1, "L4b")])));
            classes.push(("cd-behavior", *self.dice.weighted(&[(16, "B1"), (2, "B2"), (1, "B3"), (1, "B2B3")])));
            classes.push(("growth", *self.dice.weighted(&[(4, "G0"), (1, "G1")])));
        } else {
            classes.push(("uc-extent", *self.dice.weighted(&[(1, "E1"), (2, "E2"), (1, "E3"), (6, "E4")])));
            classes.push(("uc-severity", if visit.activity == Activity::Severe { "S1" } else { "S0" }));
        }
        let perianal = (self.disease == Disease::Crohn).then(|| self.dice.chance(15));
        if self.dice.chance(25) {
            let mut items: Vec<Json> = classes
                .iter()
                .map(|(link, class)| answered(link, "valueCoding", coding(PARIS_CLASS, class, class)))
                .collect();
            items.extend(perianal.map(|yes| answered("perianal", "valueBoolean", yes)));
            return self.sheet(visit, "ibd-paris", items);
        }
        let mut components: Vec<Json> = classes
            .iter()
            .map(|(code, class)| part(PARIS, code, "valueCodeableConcept", concept(PARIS_CLASS, class, class)))
            .collect();
        components.extend(perianal.map(|yes| part(PARIS, "perianal", "valueBoolean", yes)));
        let code = concept(PARIS, "paris", "Paris classification");
        let members = self.coded(visit, "survey", code, "component", Json::List(components));
        self.write("Observation", members)
    }

    fn growth(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let (height, bmi) = self.build.z_hundredths(visit.activity);
        let category = |z: i64| match z {
            ..-200 => ("failure", "Failure"),
            -200..-100 => ("at-risk", "At risk"),
            _ => ("satisfactory", "Satisfactory"),
        };
        let word = |code: &str, z: i64| {
            part(
                GROWTH,
                code,
                "valueCodeableConcept",
                concept(GROWTH_CATEGORY, category(z).0, category(z).1),
            )
        };
        let score = |code: &str, z: i64| part(GROWTH, code, "valueQuantity", quantity(Decimal::new(z, 2), "{z-score}"));
        let components = list![
            word("nutritional-status", bmi),
            word("growth-status", height),
            score("height-z", height),
            score("weight-z", (height + bmi) / 2),
            score("bmi-z", bmi)
        ];
        let code = concept(GROWTH, "growth-assessment", "Growth assessment");
        let members = self.coded(visit, "exam", code, "component", components);
        self.write("Observation", members)
    }

    /// The answers to the disease's index. The total is told by the observation, and not again.
    fn score_sheet(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let level = usize::try_from(visit.activity.level()).unwrap_or(0);
        let of = |link: &str, answers: [&str; 4]| answered(link, "valueCoding", coding(ANSWER, answers[level], answers[level]));
        let pain = ["none", "can-be-ignored", "can-be-ignored", "cannot-be-ignored"];
        if self.disease == Disease::Crohn {
            let joints = self.dice.chance(8);
            let items = vec![
                of("general-wellbeing", ["well", "well", "below-par", "very-poor"]),
                of("abdominal-pain", ["none", "mild", "mild", "moderate-severe"]),
                of("abdominal-exam", ["normal", "normal", "tenderness-or-mass", "tenderness-or-mass"]),
                of("perirectal-disease", ["none", "none", "none", "indolent"]),
                answered("arthritis", "valueBoolean", joints),
                answered("skin", "valueBoolean", false),
                answered("eye", "valueBoolean", false),
                answered("fever", "valueBoolean", visit.activity == Activity::Severe),
            ];
            return self.sheet(visit, "ibd-spcdai", items);
        }
        let items = vec![
            of("abdominal-pain", pain),
            of(
                "rectal-bleeding",
                ["none", "small-lt50pct-stools", "small-most-stools", "large-gt50pct-content"],
            ),
            of("stool-consistency", ["formed", "formed", "partially-formed", "completely-unformed"]),
            of("stools-per-day", ["0-2", "3-5", "3-5", "6-8"]),
            answered("nocturnal-stools", "valueBoolean", visit.activity >= Activity::Moderate),
            of("activity-limitation", ["none", "none", "occasional", "severe"]),
        ];
        self.sheet(visit, "ibd-pucai", items)
    }

    fn endoscopy_score(&mut self, visit: &Visit, procedure: &str) -> Result<(), SimulateError> {
        let level = visit.activity.level();
        let (code, name, value) = if self.disease == Disease::Crohn {
            ("ses-cd", "SES-CD", level * 6 + self.dice.between(0, 5))
        } else {
            ("mayo-endoscopic", "Mayo endoscopic subscore", level)
        };
        let mut members = self.observation(
            visit,
            "us-core-observation-clinical-result",
            hl7("observation-category", "exam", "Exam"),
            concept(ENDOSCOPY, code, name),
        );
        members.push(("partOf", list![reference("Procedure", procedure)]));
        members.push(("valueInteger", Json::from(value)));
        self.write("Observation", Json::Object(members))
    }

    /// A T-score that the person or a parent reports, or the sheet it was reckoned from.
    fn reported(&mut self, visit: &Visit) -> Result<(), SimulateError> {
        let (code, name) = *self.dice.pick(&[
            ("promis-pain-interference", "PROMIS pain interference"),
            ("promis-fatigue", "PROMIS fatigue"),
            ("promis-anxiety", "PROMIS anxiety"),
        ]);
        let tenths = 400 + visit.activity.level() * 60 + self.dice.between(0, 90);
        if self.dice.chance(40) {
            let items = vec![
                answered("raw-score", "valueInteger", (tenths - 330) / 14),
                answered("t-score", "valueDecimal", Decimal::new(tenths, 1)),
            ];
            return self.sheet(visit, code, items);
        }
        let who = self.respondent(visit);
        let survey = hl7("observation-category", "survey", "Survey");
        let mut members = self.observation(visit, SCREENING, survey, concept(REPORTED, code, name));
        members.push(("performer", list![who]));
        members.push(("valueQuantity", quantity(Decimal::new(tenths, 1), "{T-score}")));
        self.write("Observation", Json::Object(members))
    }

    /// Younger than eight, a parent answers where there is one.
    fn respondent(&self, visit: &Visit) -> Json {
        match &self.related {
            Some(related) if self.years(visit) < 8 => reference("RelatedPerson", related),
            _ => reference("Patient", &self.person.id),
        }
    }

    fn sheet(&mut self, visit: &Visit, questionnaire: &str, mut items: Vec<Json>) -> Result<(), SimulateError> {
        if self.dice.chance(15) {
            let words = self.marker.tail(format!("{} says it was a hard week.", self.person.given), " ");
            items.push(answered("remark", "valueString", words));
        }
        let who = self.respondent(visit);
        let response = object! {
            "resourceType": "QuestionnaireResponse",
            "id": self.new_id(),
            "meta": meta("us-core-questionnaireresponse", visit.recorded()),
            "questionnaire": format!("{QUESTIONNAIRE}{questionnaire}|1.0"),
            "status": "completed",
            "subject": self.subject(),
            "encounter": reference("Encounter", &visit.id),
            "authored": date_time(minutes_later(visit.start, 5)),
            "source": who,
            "item": items,
        };
        self.write("QuestionnaireResponse", response)
    }
}

fn answered(link: &str, name: &'static str, value: impl Into<Json>) -> Json {
    object! { "linkId": link, "answer": list![Json::Object(vec![(name, value.into())])] }
}

fn part(system: &str, code: &str, name: &'static str, value: impl Into<Json>) -> Json {
    Json::Object(vec![("code", concept(system, code, code)), (name, value.into())])
}
