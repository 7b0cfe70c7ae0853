//! One invented patient: who they are, and the Patient resource that says so.

use jiff::civil::Date;

use super::dice::Dice;
use super::json::{Json, list, object};
use super::marks::Marker;
use super::names;
use super::shapes::{Moment, coding, concept, day, days_later, hl7, meta, narrative, us_core};

const MRN_SYSTEM: &str = "https://riverbend.example/mrn";
const OMB: &str = "urn:oid:2.16.840.1.113883.6.238";

const RACES: &[(u64, (&str, &str))] = &[
    (60, ("2106-3", "White")),
    (16, ("2054-5", "Black or African American")),
    (8, ("2028-9", "Asian")),
    (2, ("1002-5", "American Indian or Alaska Native")),
    (1, ("2076-8", "Native Hawaiian or Other Pacific Islander")),
];

/// What the other resources of a chart need to know of their patient.
pub(super) struct Person {
    pub(super) id: String,
    pub(super) mrn: String,
    pub(super) given: String,
    pub(super) family: String,
    pub(super) female: bool,
    pub(super) birth: Date,
    pub(super) phone: String,
    pub(super) email: String,
    pub(super) street: String,
    pub(super) guardian: Option<Guardian>,
    address: names::Address,
    middle: Option<&'static str>,
    race: Option<(&'static str, &'static str)>,
    hispanic: bool,
    spanish: bool,
    former_family: Option<String>,
}

/// A parent, as the chart's contact.
pub(super) struct Guardian {
    pub(super) given: String,
    family: String,
    phone: String,
    mother: bool,
}

impl Person {
    /// Somebody from 2 to 21 years old on the day `today`.
    pub(super) fn new(today: Date, dice: &mut Dice, marker: &mut Marker) -> Self {
        let id = dice.id();
        marker.remember(&id);
        let female = dice.chance(48);
        let given = marker.word(if female { names::girl(dice) } else { names::boy(dice) });
        let family = marker.word(names::family(dice));
        let address = names::address(dice);
        let phone = names::phone(dice, address.area_code);
        let email = format!("{}.{}{}@example.com", given.to_lowercase(), family.to_lowercase(), dice.below(100));
        marker.remember(&email);
        let age_days = dice.between(2 * 366, 21 * 365);
        let guardian = dice.chance(75).then(|| Guardian {
            given: marker.word(names::grown_up(dice)),
            family: family.clone(),
            phone: marker.number(names::phone(dice, address.area_code)),
            mother: dice.chance(70),
        });
        Self {
            mrn: marker.number(dice.digits(8)),
            phone: marker.number(phone),
            street: marker.tail(address.line.as_str(), " "),
            birth: days_later(today, -age_days),
            middle: dice.chance(40).then(|| if female { names::girl(dice) } else { names::boy(dice) }),
            race: dice.chance(92).then(|| *dice.weighted(RACES)),
            hispanic: dice.chance(16),
            spanish: dice.chance(6),
            former_family: dice.chance(5).then(|| marker.word(names::family(dice))),
            id,
            given,
            family,
            female,
            email,
            guardian,
            address,
        }
    }

    /// Given and family name.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.given, self.family)
    }

    /// The Patient resource.
    pub(super) fn resource(&self, updated: Moment, with_narrative: bool) -> Json {
        let text = with_narrative.then(|| narrative(&[format!("{}, MRN {}, born {}", self.name(), self.mrn, day(self.birth))]));
        object! {
            "resourceType": "Patient",
            "id": &self.id,
            "meta": meta("us-core-patient", updated),
            "text": text,
            "extension": list![self.race(), self.ethnicity(), self.birth_sex()],
            "identifier": list![object! {
                "use": "usual",
                "type": object! {
                    "coding": list![coding("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number")],
                    "text": "Medical record number",
                },
                "system": MRN_SYSTEM,
                "value": &self.mrn,
            }],
            "active": true,
            "name": self.names(),
            "telecom": list![
                object! { "system": "phone", "value": &self.phone, "use": "home" },
                object! { "system": "email", "value": &self.email },
            ],
            "gender": if self.female { "female" } else { "male" },
            "birthDate": day(self.birth),
            "address": list![object! {
                "use": "home",
                "line": list![&self.street],
                "city": self.address.city,
                "state": self.address.state,
                "postalCode": self.address.zip,
                "country": "US",
            }],
            "contact": list![self.guardian.as_ref().map(Guardian::contact)],
            "communication": list![object! { "language": if self.spanish {
                concept("urn:ietf:bcp:47", "es", "Spanish")
            } else {
                concept("urn:ietf:bcp:47", "en", "English")
            } }],
        }
    }

    fn names(&self) -> Json {
        let middle = Json::from(self.middle);
        let former = self.former_family.as_ref().map(|family| {
            object! { "use": "old", "family": family, "given": list![&self.given] }
        });
        list![
            object! { "use": "official", "family": &self.family, "given": list![&self.given, middle] },
            former
        ]
    }

    fn race(&self) -> Option<Json> {
        let (code, display) = self.race?;
        Some(object! {
            "url": us_core("us-core-race"),
            "extension": list![
                object! { "url": "ombCategory", "valueCoding": coding(OMB, code, display) },
                object! { "url": "text", "valueString": display },
            ],
        })
    }

    fn ethnicity(&self) -> Json {
        let (code, display) = if self.hispanic {
            ("2135-2", "Hispanic or Latino")
        } else {
            ("2186-5", "Not Hispanic or Latino")
        };
        object! {
            "url": us_core("us-core-ethnicity"),
            "extension": list![
                object! { "url": "ombCategory", "valueCoding": coding(OMB, code, display) },
                object! { "url": "text", "valueString": display },
            ],
        }
    }

    fn birth_sex(&self) -> Json {
        object! { "url": us_core("us-core-birthsex"), "valueCode": if self.female { "F" } else { "M" } }
    }
}

impl Guardian {
    /// Code and name of what the guardian is to the patient, HL7 v3.
    pub(super) fn role(&self) -> (&'static str, &'static str) {
        if self.mother { ("MTH", "mother") } else { ("FTH", "father") }
    }

    /// The guardian as a resource: who answers for a child, and who is insured.
    pub(super) fn related(&self, id: &str, patient: Json, updated: Moment) -> Json {
        let (code, display) = self.role();
        object! {
            "resourceType": "RelatedPerson",
            "id": id,
            "meta": meta("us-core-relatedperson", updated),
            "active": true,
            "patient": patient,
            "relationship": list![hl7("v3-RoleCode", code, display)],
            "name": list![object! { "family": &self.family, "given": list![&self.given] }],
            "telecom": list![object! { "system": "phone", "value": &self.phone, "use": "mobile" }],
        }
    }

    fn contact(&self) -> Json {
        let (code, display) = self.role();
        object! {
            "relationship": list![hl7("v3-RoleCode", code, display)],
            "name": object! { "family": &self.family, "given": list![&self.given] },
            "telecom": list![object! { "system": "phone", "value": &self.phone, "use": "mobile" }],
            "gender": if self.mother { "female" } else { "male" },
        }
    }
}
