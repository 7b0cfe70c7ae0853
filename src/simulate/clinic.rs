//! The clinic that all patients share: hospital, laboratory, places, doctors, the formulary and the study.
//! Drawn from the seed's own stream, so that it is the same for any number of patients.

use super::codes::{DRUGS, NPI, RXNORM};
use super::dice::Dice;
use super::error::SimulateError;
use super::files::Files;
use super::json::{Json, list, object};
use super::names;
use super::shapes::{Moment, bare_meta, concept, hl7, meta, narrative, reference};

/// The study in which the clinic's patients take part.
pub(super) const STUDY: &str = "ibd-registry";

/// Ids that the patients' resources refer to.
pub(super) struct Clinic {
    pub(super) hospital: String,
    pub(super) laboratory: String,
    pub(super) outpatient: String,
    pub(super) ward: String,
    pub(super) emergency: String,
    pub(super) doctors: Vec<Doctor>,
    /// One Medication per drug, in the order of `DRUGS`.
    pub(super) formulary: Vec<String>,
}

pub(super) struct Doctor {
    pub(super) id: String,
    pub(super) name: String,
    given: &'static str,
    family: String,
    npi: String,
}

impl Clinic {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 0);
        let doctors = (0..6).map(|_| Doctor::new(&mut dice)).collect();
        Self {
            hospital: dice.id(),
            laboratory: dice.id(),
            outpatient: dice.id(),
            ward: dice.id(),
            emergency: dice.id(),
            doctors,
            formulary: DRUGS.iter().map(|_| dice.id()).collect(),
        }
    }

    /// Writes the shared resources; `opened` is when the EHR first knew them.
    pub(super) fn write(&self, opened: Moment, files: &mut Files) -> Result<(), SimulateError> {
        for (id, npi, name) in [
            (&self.hospital, npi("153000001"), "Riverbend Children's Hospital"),
            (&self.laboratory, npi("153000002"), "Riverbend Clinical Laboratory"),
        ] {
            files.write("Organization", &organization(id, &npi, name, opened))?;
        }
        for (id, name, role) in [
            (&self.outpatient, "Gastroenterology Clinic", ("GI", "Gastroenterology clinic")),
            (&self.ward, "Ward 4 West", ("HU", "Hospital unit")),
            (&self.emergency, "Emergency Department", ("ER", "Emergency room")),
        ] {
            files.write("Location", &self.location(id, name, role, opened))?;
        }
        for doctor in &self.doctors {
            files.write("Practitioner", &doctor.resource(opened))?;
        }
        for (drug, id) in DRUGS.iter().zip(&self.formulary) {
            let medication = object! {
                "resourceType": "Medication",
                "id": id,
                "meta": meta("us-core-medication", opened),
                "code": concept(RXNORM, drug.rxnorm, drug.name),
                "status": "active",
            };
            files.write("Medication", &medication)?;
        }
        let study = object! {
            "resourceType": "ResearchStudy",
            "id": STUDY,
            "meta": bare_meta(opened),
            "title": "Registry of a pediatric IBD learning network",
            "status": "active",
            "sponsor": reference("Organization", &self.hospital),
        };
        files.write("ResearchStudy", &study)
    }

    fn location(&self, id: &str, name: &str, role: (&str, &str), opened: Moment) -> Json {
        object! {
            "resourceType": "Location",
            "id": id,
            "meta": meta("us-core-location", opened),
            "status": "active",
            "name": name,
            "type": list![hl7("v3-RoleCode", role.0, role.1)],
            "telecom": list![object! { "system": "phone", "value": "513-555-0100", "use": "work" }],
            "address": hospital_address(),
            "managingOrganization": reference("Organization", &self.hospital),
        }
    }
}

impl Doctor {
    fn new(dice: &mut Dice) -> Self {
        let given = names::grown_up(dice);
        let family = names::family(dice);
        Self {
            id: dice.id(),
            name: format!("Dr. {given} {family}"),
            given,
            family,
            npi: npi(&format!("1{}", dice.digits(8))),
        }
    }

    fn resource(&self, opened: Moment) -> Json {
        object! {
            "resourceType": "Practitioner",
            "id": &self.id,
            "meta": meta("us-core-practitioner", opened),
            "identifier": list![object! { "system": NPI, "value": &self.npi }],
            "active": true,
            "name": list![object! { "family": &self.family, "given": list![self.given], "prefix": list!["Dr."] }],
            "telecom": list![object! { "system": "phone", "value": "513-555-0101", "use": "work" }],
        }
    }
}

fn organization(id: &str, npi: &str, name: &str, opened: Moment) -> Json {
    object! {
        "resourceType": "Organization",
        "id": id,
        "meta": meta("us-core-organization", opened),
        "text": narrative(&[name.replace('\'', "&#39;")]),
        "identifier": list![object! { "system": NPI, "value": npi }],
        "active": true,
        "type": list![hl7("organization-type", "prov", "Healthcare Provider")],
        "name": name,
        "telecom": list![object! { "system": "phone", "value": "513-555-0100" }],
        "address": list![hospital_address()],
    }
}

fn hospital_address() -> Json {
    object! { "line": list!["100 Riverbend Way"], "city": "Cincinnati", "state": "OH", "postalCode": "45229", "country": "US" }
}

/// Nine digits and their check digit: Luhn over `80840` and the number, as NPIs have it.
fn npi(nine: &str) -> String {
    let mut sum = 24;
    for (at, digit) in nine.bytes().rev().map(|byte| u32::from(byte - b'0')).enumerate() {
        let doubled = if at % 2 == 0 { digit * 2 } else { digit };
        sum += if doubled > 9 { doubled - 9 } else { doubled };
    }
    format!("{nine}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_is_the_one_of_the_published_example() {
        assert_eq!(npi("123456789"), "1234567893");
    }

    #[test]
    fn a_clinic_depends_on_its_seed_only() {
        assert_eq!(Clinic::new(3).hospital, Clinic::new(3).hospital);
        assert_ne!(Clinic::new(3).hospital, Clinic::new(4).hospital);
    }
}
